"""``python -m bootpath``."""

import sys

from bootpath.cli.main import main

sys.exit(main())
