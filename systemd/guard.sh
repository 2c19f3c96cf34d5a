#!/bin/sh
# Goes back from a release that was never confirmed, at its fourth start; see `genba update`.
# The first step of genba-engine.service, run as root. No error here keeps the engine from starting.
cd "${GENBA_HOME:-/opt/genba}" || exit 0
[ -e pending ] && [ -L previous ] || exit 0
starts=$(cat pending 2>/dev/null)
case $starts in ''|*[!0-9]*) starts=0 ;; esac
if [ "$starts" -ge 3 ]; then
    echo "The update was not confirmed after $starts starts; $(readlink previous) runs again." >&2
    cp -P previous .current.new && mv -T .current.new current && rm -f pending
else
    echo $((starts + 1)) > .pending.new && mv -T .pending.new pending
fi
exit 0
