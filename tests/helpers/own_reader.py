"""The reader that docs/extending.md shows, as a user would copy it from there."""

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs/extending.md"
READER = re.search(r"^```python\n(.*?)^```", GUIDE.read_text().split("## Data set")[1], re.DOTALL | re.MULTILINE)[1]
