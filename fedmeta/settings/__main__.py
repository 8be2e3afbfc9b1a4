"""Print the JSON schema of the config: `python -m fedmeta.settings > workflow/schemas/config.schema.json`."""

import json

from fedmeta.settings.schema import json_schema

print(json.dumps(json_schema(), indent=1))
