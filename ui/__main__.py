"""``python -m ui``: the screens, started by `genba run`."""

import os
import sys
import tempfile

# NiceGUI looks at both when it is imported: it must neither write into the folder that the
# command was started in, nor take a test that started us for one of its own.
os.environ["NICEGUI_STORAGE_PATH"] = tempfile.mkdtemp(prefix="genba-ui-")
for name in [name for name in os.environ if name.startswith("PYTEST_")]:
    del os.environ[name]

from ui.main import main  # noqa: E402 - after what it must see

sys.exit(main())
