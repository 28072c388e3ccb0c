//! The keys about when a service is up, and whether it does its work.

use super::super::ready;
use super::Key;
use super::form::Form;

/// `tcp` and `http` as they stand in `ready` and in a test.
const READY: Form = Form {
    words: ready::READY,
    schema: r#"{"oneOf":[{"enum":["exec","fork","notify","pid_file"]},
        {"type":"object","additionalProperties":false,"minProperties":1,
         "oneOf":[{"required":["fd"]},{"required":["log"]},{"required":["command"]},
                  {"required":["tcp"]},{"required":["http"]}],
         "properties":{"fd":{"type":"integer","minimum":3,"maximum":1023},
         "log":{"type":"string","minLength":1},
         "command":{"oneOf":[{"type":"string","minLength":1},
         {"type":"array","minItems":1,"items":{"type":["string","number","boolean"]}}]},
         "tcp":{"type":["integer","string"],"minimum":1,"maximum":65535},
         "http":{"type":"string","pattern":"^http://"},
         "interval":{"type":["string","number"],"pattern":"^[0-9]"},
         "timeout":{"type":["string","number"],"pattern":"^[0-9]"}}}]}"#,
};
const HEALTHCHECK: Form = Form {
    words: ready::HEALTHCHECK,
    schema: r#"{"type":"object","additionalProperties":false,
        "anyOf":[{"required":["test"]},{"required":["disable"]}],
        "properties":{"test":{"oneOf":[{"type":"string","minLength":1},
         {"type":"array","minItems":1,"items":{"type":["string","number","boolean"]}},
         {"type":"object","additionalProperties":false,"required":["tcp"],
          "properties":{"tcp":{"type":["integer","string"],"minimum":1,"maximum":65535}}},
         {"type":"object","additionalProperties":false,"required":["http"],
          "properties":{"http":{"type":"string","pattern":"^http://"}}}]},
         "interval":{"type":["string","number"],"pattern":"^[0-9]"},
         "timeout":{"type":["string","number"],"pattern":"^[0-9]"},
         "start_period":{"type":["string","number"],"pattern":"^[0-9]"},
         "start_interval":{"type":["string","number"],"pattern":"^[0-9]"},
         "retries":{"type":"integer","minimum":1},"disable":{"type":"boolean"},
         "on_failure":{"enum":["restart","stop","notify"]}}}"#,
};
const WATCHDOG: Form = Form {
    words: ready::WATCHDOG,
    schema: r#"{"oneOf":[{"type":["string","number"],"pattern":"^[0-9]"},
        {"type":"object","additionalProperties":false,"required":["timeout"],"properties":
         {"timeout":{"type":["string","number"],"pattern":"^[0-9]"},
          "on_failure":{"enum":["restart","stop","notify"]}}}]}"#,
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
