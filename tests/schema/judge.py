"""Asks independent packages what they make of unit files: ruamel.yaml, which reads YAML 1.2 as
editors do, and jsonschema. Takes a directory of schemas, KIND.json, then on standard input lines of
a kind, a blank and a path; writes one line of JSON for each: {"path": ..., "refused": null or why}."""

import json
import pathlib
import sys

import jsonschema
import ruamel.yaml

validators = {}
for file in pathlib.Path(sys.argv[1]).glob("*.json"):
    schema = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validators[file.stem] = jsonschema.Draft202012Validator(schema)


def refused(validator, path):
    yaml = ruamel.yaml.YAML(typ="safe", pure=True)
    try:
        with open(path, "rb") as file:
            unit = yaml.load(file)
        errors = list(validator.iter_errors(unit))
    except (ruamel.yaml.error.YAMLError, ValueError, RecursionError) as error:
        return f"YAML: {error}"
    return jsonschema.exceptions.best_match(errors).message if errors else None


for line in sys.stdin:
    kind, path = line.rstrip("\n").split(" ", 1)
    answer = {"path": path, "refused": refused(validators[kind], path)}
    print(json.dumps(answer), flush=True)
