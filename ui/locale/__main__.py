"""``python -m ui.locale``: bring the catalogues of all languages up to date."""

import sys

from ui.locale import LOCALE, update

for name in sorted(path.name for path in LOCALE.iterdir() if path.is_dir()):
    if name != "__pycache__":
        sys.stdout.write(f"{name}: {update(name)} texts without a translation\n")
