//! Messages to and from bytes: calls, answers, and how they end.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::message::{Failure, Reply, Request, Verb, Who};
use super::{DESCRIPTION, INTERFACE};
use crate::power::Power;
use crate::supervision::plan::Wish;

/// The interface that every Varlink service has.
const SERVICE: &str = "org.varlink.service";

/// What ends a message: NUL, or a newline from people at a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Varlink's own.
    Nul,
    /// For `nc -U`.
    Newline,
    /// For an answer to somebody whose way is not known; NUL follows the newline, which is only
    /// white space to JSON.
    Both,
}

impl End {
    /// The bytes themselves.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Nul => b"\0",
            Self::Newline => b"\n",
            Self::Both => b"\n\0",
        }
    }
}

/// Finds the end of the first message: its length without the end, and what ends it.
#[must_use]
pub fn first_end(bytes: &[u8]) -> Option<(usize, End)> {
    let at = memchr::memchr2(0, b'\n', bytes)?;
    Some((at, if bytes[at] == 0 { End::Nul } else { End::Newline }))
}

/// A call as it travels. `null` counts as absent, because some clients write it.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parameters: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oneway: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upgrade: Option<bool>,
}

/// A call that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What it asks; a [`Failure`] where nobody can be asked that.
    pub what: Result<Question, Failure>,
    /// Whether the caller wants no answer at all.
    pub oneway: bool,
    /// Whether the caller is ready for many answers.
    pub more: bool,
}

/// What a call asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Something that every Varlink service knows, with the answer's parameters.
    Standard(Value),
    /// Something for the supervisor.
    Ours(Request),
}

/// Reads one message, without its end.
///
/// # Errors
/// [`Failure::BadMessage`] when it is not a call at all.
pub fn read_call(message: &[u8]) -> Result<Asked, Failure> {
    let call: Call = serde_json::from_slice(message)
        .map_err(|error| Failure::BadMessage { reason: error.to_string() })?;
    let (oneway, more) = (call.oneway == Some(true), call.more == Some(true));
    let what = if call.upgrade == Some(true) {
        Err(Failure::MethodNotImplemented { method: call.method })
    } else {
        understand(call.method, call.parameters.unwrap_or_default())
    };
    Ok(Asked { what, oneway, more })
}

/// Finds the method and takes its parameters. A method without an interface is ours: a
/// convenience for people who type.
fn understand(method: String, mut given: Map<String, Value>) -> Result<Question, Failure> {
    let (interface, name) = method.rsplit_once('.').unwrap_or((INTERFACE, &method));
    match interface {
        SERVICE => standard(name, &mut given),
        INTERFACE => ours(name, &mut given).map(|request| request.map(Question::Ours)),
        other => Err(Failure::InterfaceNotFound { interface: other.to_owned() }),
    }?
    .ok_or(Failure::MethodNotFound { method })
}

fn ours(name: &str, given: &mut Map<String, Value>) -> Result<Option<Request>, Failure> {
    let verb = match name {
        "List" => return Ok(Some(Request::List)),
        "Activations" => return Ok(Some(Request::Activations)),
        "ReadUnits" => return Ok(Some(Request::ReadUnits(wish(given)?))),
        "Plan" => return Ok(Some(Request::Plan(wish(given)?))),
        "Graph" => return Ok(Some(Request::Graph)),
        "Watch" => return Ok(Some(Request::Watch)),
        "Version" => return Ok(Some(Request::Version)),
        "Status" => {
            let units = take(given, "units")?.unwrap_or_default();
            return Ok(Some(Request::Status { units }));
        }
        "Kill" => return kill(given).map(Some),
        "PowerOff" => return Ok(Some(Request::Power(Power::PowerOff))),
        "Reboot" => return Ok(Some(Request::Power(Power::Reboot))),
        "Halt" => return Ok(Some(Request::Power(Power::Halt))),
        "Kexec" => return Ok(Some(Request::Power(Power::Kexec))),
        "Upgrade" => return Ok(Some(Request::Upgrade { program: take(given, "program")? })),
        "Start" => Verb::Start,
        "Stop" => Verb::Stop,
        "Restart" => Verb::Restart,
        "Reload" => Verb::Reload,
        _ => return Ok(None),
    };
    let units = take(given, "units")?.unwrap_or_default();
    let wait = take(given, "wait")?.unwrap_or(true);
    Ok(Some(Request::Order { verb, units, wait }))
}

fn wish(given: &mut Map<String, Value>) -> Result<Wish, Failure> {
    let only = take(given, "only")?.unwrap_or_default();
    let restart = take(given, "restart")?.unwrap_or_default();
    Ok(Wish { only, restart })
}

fn kill(given: &mut Map<String, Value>) -> Result<Request, Failure> {
    let unit = take(given, "unit")?.ok_or_else(|| invalid("unit"))?;
    let signal = take(given, "signal")?.unwrap_or(libc::SIGTERM);
    let who = match take::<String>(given, "who")? {
        None => Who::All,
        Some(word) => Who::from_word(&word).ok_or_else(|| invalid("who"))?,
    };
    Ok(Request::Kill { unit, signal, who })
}

fn standard(name: &str, given: &mut Map<String, Value>) -> Result<Option<Question>, Failure> {
    let answer = match name {
        "GetInfo" => json!({
            "vendor": "Treeward",
            "product": "Treeward service-launcher",
            "version": env!("CARGO_PKG_VERSION"),
            "url": env!("CARGO_PKG_REPOSITORY"),
            "interfaces": [SERVICE, INTERFACE],
        }),
        "GetInterfaceDescription" => {
            let interface: String =
                take(given, "interface")?.ok_or_else(|| invalid("interface"))?;
            match interface.as_str() {
                SERVICE => json!({"description": include_str!("org.varlink.service.varlink")}),
                INTERFACE => json!({"description": DESCRIPTION}),
                _ => return Err(Failure::InterfaceNotFound { interface }),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(Question::Standard(answer)))
}

/// Takes one parameter out; `None` when it is absent or null.
fn take<T: DeserializeOwned>(
    given: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<T>, Failure> {
    match given.remove(name) {
        None => Ok(None),
        Some(value) => serde_json::from_value(value).map_err(|_| invalid(name)),
    }
}

fn invalid(parameter: &str) -> Failure {
    Failure::InvalidParameter { parameter: parameter.to_owned() }
}

/// Writes a call, for the client; it ends with NUL.
#[must_use]
pub fn write_call(request: &Request) -> Vec<u8> {
    let (name, parameters) = match request {
        Request::List => ("List", json!({})),
        Request::Activations => ("Activations", json!({})),
        Request::Status { units } => ("Status", json!({ "units": units })),
        Request::Order { verb, units, wait } => {
            let name = match verb {
                Verb::Start => "Start",
                Verb::Stop => "Stop",
                Verb::Restart => "Restart",
                Verb::Reload => "Reload",
            };
            (name, json!({"units": units, "wait": wait}))
        }
        Request::Kill { unit, signal, who } => {
            ("Kill", json!({"unit": unit, "signal": signal, "who": who.to_string()}))
        }
        Request::ReadUnits(Wish { only, restart }) => {
            ("ReadUnits", json!({"only": only, "restart": restart}))
        }
        Request::Plan(Wish { only, restart }) => {
            ("Plan", json!({"only": only, "restart": restart}))
        }
        Request::Graph => ("Graph", json!({})),
        Request::Watch => ("Watch", json!({})),
        Request::Version => ("Version", json!({})),
        Request::Power(Power::PowerOff) => ("PowerOff", json!({})),
        Request::Power(Power::Reboot) => ("Reboot", json!({})),
        Request::Power(Power::Halt) => ("Halt", json!({})),
        Request::Power(Power::Kexec) => ("Kexec", json!({})),
        Request::Upgrade { program } => ("Upgrade", json!({ "program": program })),
    };
    let method = format!("{INTERFACE}.{name}");
    let mut call = json!({"method": method, "parameters": parameters});
    if *request == Request::Watch {
        call["more"] = Value::Bool(true);
    }
    let mut bytes = call.to_string().into_bytes();
    bytes.extend_from_slice(End::Nul.bytes());
    bytes
}

/// What goes back to a caller.
#[derive(Debug)]
pub enum Answer<'a> {
    /// The last answer to a call.
    Last(&'a Reply),
    /// One answer, and more will follow.
    More(&'a Reply),
    /// The answer to a question that every Varlink service knows.
    Standard(&'a Value),
    /// It was not carried out.
    Failed(&'a Failure),
}

/// Appends an answer to `output`.
pub fn write_answer(output: &mut Vec<u8>, answer: &Answer<'_>, end: End) {
    #[derive(Serialize)]
    struct Frame<'a, P> {
        parameters: &'a P,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        continues: bool,
    }
    let start = output.len();
    let written = match *answer {
        Answer::Last(reply) => {
            serde_json::to_writer(&mut *output, &Frame { parameters: reply, continues: false })
        }
        Answer::More(reply) => {
            serde_json::to_writer(&mut *output, &Frame { parameters: reply, continues: true })
        }
        Answer::Standard(value) => {
            serde_json::to_writer(&mut *output, &Frame { parameters: value, continues: false })
        }
        Answer::Failed(failure) => serde_json::to_writer(&mut *output, failure),
    };
    // Neither a Vec nor our types can fail here; should that change, half a message must not go.
    if written.is_err() {
        output.truncate(start);
        output.extend_from_slice(br#"{"error":"org.treeward.Supervisor.BadMessage"}"#);
    }
    output.extend_from_slice(end.bytes());
}

/// One answer as the client reads it.
#[derive(Debug, Deserialize)]
pub struct Answered<T> {
    /// What was answered.
    pub parameters: T,
    /// Whether more answers follow.
    #[serde(default)]
    pub continues: bool,
    #[serde(default)]
    error: Option<String>,
}

/// Reads one answer, without its end.
///
/// # Errors
/// What `serde_json` says when it is neither an answer of this type nor a [`Failure`].
pub fn read_answer<T: DeserializeOwned>(
    message: &[u8],
) -> Result<Result<Answered<T>, Failure>, serde_json::Error> {
    match serde_json::from_slice::<Answered<T>>(message) {
        // An answer that has no fields is everything, a failure too.
        Ok(answered) if answered.error.is_none() => Ok(Ok(answered)),
        Ok(_) => serde_json::from_slice(message).map(Err),
        Err(error) => serde_json::from_slice(message).map(Err).map_err(|_| error),
    }
}
