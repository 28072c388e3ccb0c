//! What is expected as a value: in words for people, and as JSON Schema for editors.

use super::super::{
    condition, duration, hooks, identity, service, signal, size, template, ulimits,
};

/// The form of a value.
pub(super) struct Form {
    /// For people, worded to follow "expected".
    pub words: &'static str,
    /// The JSON Schema (draft 2020-12) of the value, as text. YAML's plain scalars reach a validator
    /// as numbers and booleans too, so a schema takes whatever the reader takes. What several forms
    /// share is in `schema.json`, under `$defs`.
    pub schema: &'static str,
}

pub(super) const BOOLEAN: Form =
    Form { words: "true or false", schema: r##"{"$ref":"#/$defs/boolean"}"## };
pub(super) const LINE: Form = Form {
    words: "one line of text",
    schema: r#"{"type":["string","number","boolean"],
        "pattern":"^[^\\u0000-\\u001f\\u007f-\\u009f]*\\s*$"}"#,
};
pub(super) const DIRECTORY: Form =
    Form { words: "an absolute path", schema: r##"{"$ref":"#/$defs/path"}"## };
pub(super) const FILE: Form =
    Form { words: "the absolute path of a file", schema: r##"{"$ref":"#/$defs/file"}"## };
pub(super) const TERMINAL: Form = Form {
    words: "the path of a terminal such as /dev/tty1",
    schema: r##"{"$ref":"#/$defs/file"}"##,
};
pub(super) const COMMAND: Form =
    Form { words: service::COMMAND, schema: r##"{"$ref":"#/$defs/command"}"## };
pub(super) const TYPE: Form = Form {
    words: service::TYPE,
    schema: r#"{"anyOf":[
        {"const":"auto","description":"up once executed, alive while any process of it lives"},
        {"const":"simple","description":"up once executed, over when the first process ends"},
        {"const":"forking","description":"up when the first process has left others behind"},
        {"const":"oneshot","description":"works and ends"},
        {"const":"notify","description":"up when it says READY=1 by sd_notify(3)"}]}"#,
};
pub(super) const RESTART: Form = Form {
    words: service::RESTART,
    schema: r#"{"anyOf":[
        {"enum":["no",false,"false"],"description":"never"},
        {"const":"on-failure","description":"when it failed"},
        {"enum":["always","unless-stopped"],"description":"whenever it ended unasked"},
        {"type":"string","pattern":"^on-failure:\\+?(?:0|[1-9][0-9]{0,9})$",
         "description":"when it failed, so many times"}]}"#,
};
pub(super) const KILL_MODE: Form = Form {
    words: service::KILL_MODE,
    schema: r#"{"anyOf":[
        {"const":"control-group","description":"every process gets the stop signal"},
        {"const":"mixed","description":"the main process gets it, all where there is none"}]}"#,
};
pub(super) const DURATION: Form =
    Form { words: duration::FORM, schema: r##"{"$ref":"#/$defs/duration"}"## };
pub(super) const DURATION_OR_NONE: Form = Form {
    words: service::START_TIMEOUT,
    schema: r##"{"anyOf":[{"enum":["none","infinity"]},
        {"allOf":[{"$ref":"#/$defs/duration"},{"type":["string","number"],
         "exclusiveMinimum":0,"pattern":"[1-9]"}]}]}"##,
};
pub(super) const SIGNAL: Form =
    Form { words: signal::FORM, schema: r##"{"$ref":"#/$defs/signal"}"## };
pub(super) const RELOAD_SIGNAL: Form = Form {
    words: signal::FORM,
    schema: r##"{"allOf":[{"$ref":"#/$defs/signal"},{"not":{"enum":[9,19]}},
        {"not":{"type":"string","pattern":
         "^(?:(?:[Ss][Ii][Gg])?(?:[Kk][Ii][Ll][Ll]|[Ss][Tt][Oo][Pp])|0*9|0*19)$"}}]}"##,
};
pub(super) const SIZE: Form = Form {
    words: size::FORM,
    schema: r#"{"type":["string","integer"],"minimum":1,"maximum":9223372036854775807,
        "pattern":"^(?!0+(?:\\.0+)?\\s*[A-Za-z]*$)(?:[0-9]+\\s*(?:[bB]|[kKmMgGtT][iI]?[bB]?)?|[0-9]+\\.[0-9]{1,6}\\s*[kKmMgGtT][iI]?[bB]?)$"}"#,
};
pub(super) const NAMES: Form =
    Form { words: "a list of unit names", schema: r##"{"$ref":"#/$defs/unit_names"}"## };
pub(super) const DEPENDS_ON: Form = Form {
    words: "a list of unit names, or a mapping of names to {condition, required}",
    schema: r##"{"anyOf":[{"$ref":"#/$defs/unit_names"},
        {"type":"object","propertyNames":{"$ref":"#/$defs/unit_name"},
         "additionalProperties":{"type":"object","additionalProperties":false,"properties":{
          "condition":{"anyOf":[
           {"const":"service_started","description":"its program runs, or it is done"},
           {"const":"service_healthy","description":"it is up as its type says, or done"},
           {"const":"service_completed_successfully","description":"it ended with 0"}]},
          "required":{"$ref":"#/$defs/boolean"}}}}]}"##,
};
pub(super) const ATTEMPTS: Form = Form {
    words: "a whole number; 0 means no limit",
    schema: r#"{"type":["integer","string"],"minimum":0,"maximum":4294967295,
        "pattern":"^[+-]?(?:0|[1-9][0-9]*)$"}"#,
};
pub(super) const ENVIRONMENT: Form = Form {
    words: "a mapping KEY: value, or a list of KEY=value",
    schema: r#"{"anyOf":[
        {"type":"object",
         "propertyNames":{"pattern":"^[^=\\s\\u0000-\\u001f\\u007f-\\u009f]+$"},
         "additionalProperties":{"type":["string","number","boolean"],
          "pattern":"^[^\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]*$"}},
        {"type":"array","items":{"type":"string","pattern":
         "^[^=\\s\\u0000-\\u001f\\u007f-\\u009f]+=[^\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]*$"}}]}"#,
};
pub(super) const ENV_FILE: Form = Form {
    words: "an absolute path, or a list of paths or {path, required}",
    schema: r##"{"anyOf":[{"$ref":"#/$defs/env_file"},
        {"type":"array","items":{"$ref":"#/$defs/env_file"}}]}"##,
};
pub(super) const USER: Form = Form {
    words: identity::USER,
    schema: r#"{"type":["string","integer"],"minimum":0,"maximum":4294967294,
        "pattern":"^(?:0|[1-9][0-9]{0,9}|[A-Za-z_][A-Za-z0-9_.-]*\\$?)(?::(?:0|[1-9][0-9]{0,9}|[A-Za-z_][A-Za-z0-9_.-]*\\$?))?$"}"#,
};
pub(super) const GROUP: Form =
    Form { words: identity::GROUP, schema: r##"{"$ref":"#/$defs/identity"}"## };
pub(super) const UMASK: Form =
    Form { words: "an octal number such as 0022 or 077", schema: r##"{"$ref":"#/$defs/mode"}"## };
pub(super) const ULIMITS: Form = Form {
    words: ulimits::FORM,
    schema: r##"{"type":"object",
        "propertyNames":{"enum":["as","core","cpu","data","fsize","locks","memlock","msgqueue",
         "nice","nofile","nproc","rss","rtprio","rttime","sigpending","stack"]},
        "additionalProperties":{"anyOf":[{"$ref":"#/$defs/limit"},
         {"type":"object","additionalProperties":false,"required":["soft","hard"],"properties":
          {"soft":{"$ref":"#/$defs/limit"},"hard":{"$ref":"#/$defs/limit"}}}]}}"##,
};
pub(super) const NICE: Form = Form {
    words: "a number from -20 to 19",
    schema: r#"{"type":["integer","string"],"minimum":-20,"maximum":19,
        "pattern":"^[+-]?(?:0|[1-9][0-9]*)$"}"#,
};
pub(super) const OOM_SCORE: Form = Form {
    words: "a number from -1000 to 1000",
    schema: r#"{"type":["integer","string"],"minimum":-1000,"maximum":1000,
        "pattern":"^[+-]?(?:0|[1-9][0-9]*)$"}"#,
};
pub(super) const COUNT: Form = Form {
    words: "a whole number from 1",
    schema: r##"{"allOf":[{"$ref":"#/$defs/whole_from_one"},{"maximum":4194304}]}"##,
};
pub(super) const CPUS: Form = Form {
    words: "a number from 0.01 to 10000 such as 1.5",
    schema: r#"{"type":["number","string"],"minimum":0.01,"maximum":10000,
        "pattern":"^[0-9]+(?:\\.[0-9]*)?$"}"#,
};
pub(super) const PARAMETERS: Form = Form {
    words: template::PARAMETERS,
    schema: r#"{"type":"object","propertyNames":{"pattern":"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"},
        "additionalProperties":{"type":["string","number","boolean","null"]}}"#,
};
pub(super) const INSTANCES: Form = Form {
    words: template::INSTANCES,
    schema: r#"{"oneOf":[{"type":"array","items":{"type":["string","number","boolean"]},
        "uniqueItems":true},{"type":"object","additionalProperties":{"type":["object","null"],
        "additionalProperties":{"type":["string","number","boolean","null"]}}}]}"#,
};
pub(super) const HOOKS: Form = Form {
    words: hooks::HOOKS,
    schema: r##"{"$comment":"a list is a list of commands","anyOf":[
        {"$ref":"#/$defs/hook"},
        {"type":"array","items":{"anyOf":[
         {"$ref":"#/$defs/hook"},{"type":"array","allOf":[{"$ref":"#/$defs/command"}]}]}}]}"##,
};
pub(super) const CONDITION: Form = Form {
    words: condition::CONDITIONS,
    schema: r##"{"anyOf":[{"$ref":"#/$defs/condition"},
        {"type":"array","items":{"$ref":"#/$defs/condition"}}]}"##,
};
