//! The keys about when a service is up, and whether it does its work.

use super::super::ready;
use super::Key;
use super::form::Form;

/// Only what is asked again and again has pauses.
const READY: Form = Form {
    words: ready::READY,
    schema: r##"{"anyOf":[
        {"enum":["exec","fork","notify","pid_file"]},
        {"type":"object","additionalProperties":false,
         "oneOf":[{"required":["fd"]},{"required":["log"]}],"properties":{
         "fd":{"type":["integer","string"],"minimum":3,"maximum":1023,
          "pattern":"^\\+?(?:[3-9]|[1-9][0-9]{1,2}|10[01][0-9]|102[0-3])$"},
         "log":{"type":["string","number","boolean"],"minLength":1,"pattern":"^[^<control>]*$"}}},
        {"type":"object","additionalProperties":false,
         "oneOf":[{"required":["command"]},{"required":["tcp"]},{"required":["http"]}],"properties":{
         "command":{"$ref":"#/$defs/command"},"tcp":{"$ref":"#/$defs/tcp"},
         "http":{"$ref":"#/$defs/http"},
         "interval":{"$ref":"#/$defs/span"},"timeout":{"$ref":"#/$defs/span"}}}]}"##,
};
const HEALTHCHECK: Form = Form {
    words: ready::HEALTHCHECK,
    schema: r##"{"type":"object","additionalProperties":false,
        "anyOf":[{"required":["test"]},
         {"required":["disable"],"properties":{"disable":{"$ref":"#/$defs/true"}}}],"properties":{
        "test":{"anyOf":[
         {"allOf":[{"$ref":"#/$defs/text"},{"pattern":"\\S"}]},
         {"type":"array","minItems":1,"maxItems":1,"items":{"const":"NONE"}},
         {"type":"array","minItems":2,"prefixItems":[{"const":"CMD"}],
          "items":{"$ref":"#/$defs/text"}},
         {"type":"array","minItems":2,"maxItems":2,"prefixItems":[{"const":"CMD-SHELL"}],
          "items":{"$ref":"#/$defs/text"}},
         {"type":"object","additionalProperties":false,"required":["tcp"],
          "properties":{"tcp":{"$ref":"#/$defs/tcp"}}},
         {"type":"object","additionalProperties":false,"required":["http"],
          "properties":{"http":{"$ref":"#/$defs/http"}}}]},
        "interval":{"$ref":"#/$defs/span"},"timeout":{"$ref":"#/$defs/span"},
        "start_period":{"$ref":"#/$defs/duration"},"start_interval":{"$ref":"#/$defs/span"},
        "retries":{"allOf":[{"$ref":"#/$defs/whole_from_one"},{"maximum":4294967295}]},
        "disable":{"$ref":"#/$defs/boolean"},
        "on_failure":{"enum":["restart","stop","notify"]}}}"##,
};
const WATCHDOG: Form = Form {
    words: ready::WATCHDOG,
    schema: r##"{"anyOf":[{"$ref":"#/$defs/span"},
        {"type":"object","additionalProperties":false,"required":["timeout"],"properties":
         {"timeout":{"$ref":"#/$defs/span"},
          "on_failure":{"enum":["restart","stop","notify"]}}}]}"##,
};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    Key { name: "ready", help: "what makes it up, where its type does not say",
        note: " (see [Readiness and health](#readiness-and-health))", form: &READY,
        default: "as the type says", examples: &["{tcp: 80}", "notify", "{log: 'listening on port \\d+'}"],
        read: |d, n, r, form| d.care.ready = ready::ready(n, r, form) },
    Key { name: "healthcheck", help: "whether a service that is up does its work",
        note: "", form: &HEALTHCHECK,
        default: "none", examples: &["{test: [CMD, pg_isready], interval: 10s}"],
        read: |d, n, r, form| d.care.health = ready::health(n, r, form) },
    Key { name: "watchdog", help: "how often it must say that it is well",
        note: "", form: &WATCHDOG,
        default: "none", examples: &["30s", "{timeout: 30s, on_failure: stop}"],
        read: |d, n, r, form| d.care.watchdog = ready::watchdog(n, r, form) },
];
