"""Asks independent packages what they make of unit files: ruamel.yaml, which reads YAML 1.2 as
editors do, and jsonschema. Takes the schema's file, then one path a line on standard input; writes
one line of JSON for each: {"path": ..., "refused": null or why}."""

import json
import sys

import jsonschema
import ruamel.yaml

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)


def refused(path):
    yaml = ruamel.yaml.YAML(typ="safe", pure=True)
    try:
        with open(path, "rb") as file:
            unit = yaml.load(file)
        errors = list(validator.iter_errors(unit))
    except (ruamel.yaml.error.YAMLError, ValueError, RecursionError) as error:
        return f"YAML: {error}"
    return jsonschema.exceptions.best_match(errors).message if errors else None


for line in sys.stdin:
    path = line.rstrip("\n")
    print(json.dumps({"path": path, "refused": refused(path)}), flush=True)
