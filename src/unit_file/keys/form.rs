//! What is expected as a value: in words for people, and as JSON Schema for editors.

use super::super::{duration, identity, service, signal, size, ulimits};

/// The form of a value.
pub(super) struct Form {
    /// For people, worded to follow "expected".
    pub words: &'static str,
    /// The JSON Schema (draft 2020-12) of the value, as text. YAML's plain scalars reach a validator
    /// as numbers and booleans too, so a schema takes whatever the reader takes.
    pub schema: &'static str,
}

pub(super) const BOOLEAN: Form = Form { words: "true or false", schema: r#"{"type":"boolean"}"# };
pub(super) const LINE: Form = Form { words: "one line of text", schema: r#"{"type":"string"}"# };
pub(super) const PATH: Form =
    Form { words: "an absolute path", schema: r#"{"type":"string","pattern":"^/"}"# };
pub(super) const TERMINAL: Form = Form {
    words: "the path of a terminal such as /dev/tty1",
    schema: r#"{"type":"string","pattern":"^/"}"#,
};
pub(super) const COMMAND: Form = Form {
    words: service::COMMAND,
    schema: r#"{"oneOf":[{"type":"string","minLength":1},
        {"type":"array","minItems":1,"items":{"type":["string","number","boolean"]}}]}"#,
};
pub(super) const TYPE: Form = Form {
    words: service::TYPE,
    schema: r#"{"enum":["auto","simple","forking","oneshot","notify"]}"#,
};
pub(super) const RESTART: Form = Form {
    words: service::RESTART,
    schema: r#"{"anyOf":[{"enum":["no",false,"on-failure","always","unless-stopped"]},
        {"type":"string","pattern":"^on-failure:[0-9]+$"}]}"#,
};
pub(super) const KILL_MODE: Form =
    Form { words: service::KILL_MODE, schema: r#"{"enum":["control-group","mixed"]}"# };
pub(super) const DURATION: Form =
    Form { words: duration::FORM, schema: r#"{"type":["string","number"],"pattern":"^[0-9]"}"# };
pub(super) const DURATION_OR_NONE: Form = Form {
    words: service::START_TIMEOUT,
    schema: r#"{"type":["string","number"],"pattern":"^([0-9]|none$)"}"#,
};
pub(super) const SIGNAL: Form =
    Form { words: signal::FORM, schema: r#"{"type":["string","integer"]}"# };
pub(super) const SIZE: Form =
    Form { words: size::FORM, schema: r#"{"type":["string","integer"],"pattern":"^[0-9]"}"# };
pub(super) const NAMES: Form = Form {
    words: "a list of unit names",
    schema: r#"{"type":"array","items":{"type":"string"},"uniqueItems":true}"#,
};
pub(super) const DEPENDS_ON: Form = Form {
    words: "a list of unit names, or a mapping of names to {condition, required}",
    schema: r#"{"oneOf":[{"type":"array","items":{"type":"string"},"uniqueItems":true},
        {"type":"object","additionalProperties":{"type":"object","additionalProperties":false,
         "properties":{"condition":{"enum":["service_started","service_healthy",
         "service_completed_successfully"]},"required":{"type":"boolean"}}}}]}"#,
};
pub(super) const ATTEMPTS: Form = Form {
    words: "a whole number; 0 means no limit",
    schema: r#"{"type":"integer","minimum":0,"maximum":4294967295}"#,
};
pub(super) const ENVIRONMENT: Form = Form {
    words: "a mapping KEY: value, or a list of KEY=value",
    schema: r#"{"oneOf":[{"type":"object","additionalProperties":
        {"type":["string","number","boolean"]}},
        {"type":"array","items":{"type":"string","pattern":"="}}]}"#,
};
pub(super) const ENV_FILE: Form = Form {
    words: "an absolute path, or a list of paths or {path, required}",
    schema: r#"{"oneOf":[{"type":"string","pattern":"^/"},
        {"type":"object","additionalProperties":false,"required":["path"],"properties":
        {"path":{"type":"string","pattern":"^/"},"required":{"type":"boolean"}}},
        {"type":"array","items":{"oneOf":[{"type":"string","pattern":"^/"},
        {"type":"object","additionalProperties":false,"required":["path"],"properties":
        {"path":{"type":"string","pattern":"^/"},"required":{"type":"boolean"}}}]}}]}"#,
};
pub(super) const USER: Form =
    Form { words: identity::USER, schema: r#"{"type":["string","integer"],"minimum":0}"# };
pub(super) const GROUP: Form =
    Form { words: identity::GROUP, schema: r#"{"type":["string","integer"],"minimum":0}"# };
pub(super) const UMASK: Form = Form {
    words: "an octal number such as 0022 or 077",
    schema: r#"{"type":["string","integer"]}"#,
};
pub(super) const ULIMITS: Form = Form {
    words: ulimits::FORM,
    schema: r#"{"type":"object","additionalProperties":{"oneOf":[
        {"type":["string","integer"]},{"type":"object","additionalProperties":false,"properties":
        {"soft":{"type":["string","integer"]},"hard":{"type":["string","integer"]}}}]}}"#,
};
pub(super) const NICE: Form = Form {
    words: "a number from -20 to 19",
    schema: r#"{"type":"integer","minimum":-20,"maximum":19}"#,
};
pub(super) const OOM_SCORE: Form = Form {
    words: "a number from -1000 to 1000",
    schema: r#"{"type":"integer","minimum":-1000,"maximum":1000}"#,
};
pub(super) const COUNT: Form =
    Form { words: "a whole number from 1", schema: r#"{"type":"integer","minimum":1}"# };
pub(super) const CPUS: Form = Form {
    words: "a number from 0.01 to 10000 such as 1.5",
    schema: r#"{"type":["number","string"],"minimum":0.01,"maximum":10000}"#,
};
