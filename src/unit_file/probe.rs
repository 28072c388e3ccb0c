//! What a check looks at: addresses, URLs, and the small forms that `ready` and `healthcheck` share.

use std::net::IpAddr;

use super::diagnostic::{Report, Wrong, quoted};
use super::duration;
use super::node::{Node, Value};
use super::scalar::clean;
use crate::supervision::unit::{Address, Http, Millis, OnFailure, Probe};

pub(super) const ADDRESS: &str =
    "a port such as 80, or an address such as 127.0.0.1:80 or \"[::1]:80\"";
pub(super) const URL: &str = "a URL such as http://127.0.0.1:8080/health";
pub(super) const ON_FAILURE: &str = "restart, stop or notify";
pub(super) const SPAN: &str = "a duration of at least 10ms, such as 200ms or 30s";

/// The shortest pause and the shortest time for a check, in milliseconds: the loop has other things
/// to do.
const SHORTEST: Millis = 10;

/// Where somebody should listen. A port alone is one of this machine.
pub(super) fn address(text: &str) -> Result<Address, Wrong> {
    let (host, number) = match text.rsplit_once(':') {
        Some((host, number)) => (host, number),
        None => ("127.0.0.1", text),
    };
    let ip = ip(host, text)?;
    let port = port(number)
        .ok_or_else(|| Wrong::new(format!("{} has no port from 1 to 65535", quoted(text))))?;
    Ok(Address { ip, port })
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// Nothing is looked up, because a lookup may take minutes.
fn ip(host: &str, whole: &str) -> Result<String, Wrong> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match (host, bare, bare.unwrap_or(host).parse::<IpAddr>()) {
        ("localhost", ..) => Ok("127.0.0.1".to_owned()),
        (_, Some(_), Ok(ip @ IpAddr::V6(_))) | (_, None, Ok(ip @ IpAddr::V4(_))) => {
            Ok(ip.to_string())
        }
        (_, None, Ok(IpAddr::V6(_))) => Err(Wrong::new(format!("{} is ambiguous", quoted(whole)))
            .hint("put the address in brackets, and all of it in quotes")),
        ("" | "*" | "0", ..) => Err(Wrong::new(format!("{} names no address", quoted(whole)))),
        _ => Err(Wrong::new(format!("{} is a name, and names are not looked up", quoted(host)))),
    }
}

/// A page to ask for.
pub(super) fn url(text: &str) -> Result<Http, Wrong> {
    if text.starts_with("https:") {
        return Err(Wrong::new("https needs TLS, which is not spoken here")
            .hint("ask a plain port, or use a command such as [curl, -fsS, URL]"));
    }
    let Some(rest) = text.strip_prefix("http://") else {
        return Err(Wrong::new(format!("{} does not start with http://", quoted(text))));
    };
    if let Some(odd) = rest.chars().find(|c| !c.is_ascii_graphic() || "#\"<>\\^`{|}".contains(*c)) {
        let odd = quoted(&odd.to_string());
        return Err(Wrong::new(format!("{odd} has no place in it")).hint("write it as %XX"));
    }
    let (host, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if host.contains('@') {
        return Err(Wrong::new("a user has no place in it"));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let has_port = host.rsplit_once(':').is_some_and(|(_, last)| !last.ends_with(']'));
    let full = if has_port { host.to_owned() } else { format!("{host}:80") };
    Ok(Http { address: address(&full)?, host: host.to_owned(), path: format!("{slash}{path}") })
}

/// A pause or a time for a check.
pub(super) fn span(text: &str) -> Result<Millis, Wrong> {
    match duration::parse(text)? {
        0..SHORTEST => Err(Wrong::new(format!("{} is too short", quoted(text)))),
        millis => Ok(millis),
    }
}

pub(super) fn on_failure(text: &str) -> Result<OnFailure, Wrong> {
    match text {
        "restart" => Ok(OnFailure::Restart),
        "stop" => Ok(OnFailure::Stop),
        "notify" => Ok(OnFailure::Notify),
        _ => {
            let wrong = Wrong::new(format!("there is no action {}", quoted(text)));
            Err(match text {
                "none" | "no" | "ignore" | "report" | "log" => wrong.hint("did you mean notify?"),
                "kill" | "fail" => wrong.hint("did you mean stop?"),
                _ => wrong,
            })
        }
    }
}

/// What `{tcp: ...}` or `{http: ...}` looks at.
pub(super) fn network(key: &str, node: &Node, report: &mut Report<'_>) -> Option<Probe> {
    match key {
        "tcp" => report.scalar(node, ADDRESS, address).map(Probe::Tcp),
        _ => report.scalar(node, URL, url).map(Probe::Http),
    }
}

/// Compose's `test`: a string for the shell, or a list that begins with CMD, CMD-SHELL or NONE.
/// `None` where nothing is to be tested, or a diagnostic tells what is wrong.
pub(super) fn test(node: &Node, report: &mut Report<'_>) -> Option<Probe> {
    let shell = |text: &str| Probe::Command(vec!["/bin/sh".into(), "-c".into(), text.into()]);
    let list = match &node.value {
        Value::Scalar(text) if text.trim().is_empty() => {
            report.at(node.place, format!("nothing is written here; expected {TEST}"));
            return None;
        }
        Value::Scalar(_) => return report.scalar(node, TEST, script).map(|text| shell(&text)),
        Value::Map(entries) => match entries.as_slice() {
            [(name, value)] => match &name.value {
                Value::Scalar(key) if key == "tcp" || key == "http" => {
                    return report.inside(key, |report| network(key, value, report));
                }
                _ => {
                    report.at(name.place, format!("unknown test; expected {TEST}"));
                    return None;
                }
            },
            _ => {
                report.at(node.place, format!("a test has one key; expected {TEST}"));
                return None;
            }
        },
        Value::List(list) => list,
        Value::Null => {
            report.expected(node, TEST);
            return None;
        }
    };
    let mut words = Vec::with_capacity(list.len());
    for item in list {
        words.push(report.scalar(item, "a word of the command", script)?);
    }
    match words.split_first() {
        Some((first, [])) if first == "NONE" => None,
        Some((first, [_, ..])) if first == "CMD" => Some(Probe::Command(words.split_off(1))),
        Some((first, [text])) if first == "CMD-SHELL" => Some(shell(text)),
        Some((first, rest)) => {
            let what = match first.as_str() {
                "NONE" => "NONE stands alone".to_owned(),
                "CMD" | "CMD-SHELL" if rest.is_empty() => {
                    format!("there is nothing behind {first}")
                }
                "CMD-SHELL" => "behind CMD-SHELL stands one string".to_owned(),
                other => format!("{} is neither CMD, CMD-SHELL nor NONE", quoted(other)),
            };
            let place = list.first().map_or(node.place, |first| first.place);
            report.at(place, format!("{what}; expected {TEST}"));
            None
        }
        None => {
            report.at(node.place, format!("the list is empty; expected {TEST}"));
            None
        }
    }
}

pub(super) const TEST: &str = "a string for the shell, [CMD, PROGRAM, ...], [CMD-SHELL, TEXT], [NONE], {tcp: 80} or {http: URL}";

fn script(text: &str) -> Result<String, Wrong> {
    clean(text, "\n\t")
}

#[cfg(test)]
mod tests {
    use super::{address, url};

    #[test]
    fn addresses_are_numbers_and_a_port_alone_is_of_this_machine() {
        for (text, shown) in [
            ("80", "127.0.0.1:80"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("192.0.2.7:1", "192.0.2.7:1"),
            ("[::1]:65535", "[::1]:65535"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            "0",
            "65536",
            "-1",
            "+80",
            "db:80",
            "127.0.0.1",
            "127.0.0.1:",
            "::1:80",
            ":80",
            "*:80",
            "[127.0.0.1]:80",
        ] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_url_falls_into_address_host_and_path() {
        for (text, parts) in [
            ("http://localhost", ("127.0.0.1:80", "localhost", "/")),
            ("http://127.0.0.1:8080/a/b?c=%20", ("127.0.0.1:8080", "127.0.0.1:8080", "/a/b?c=%20")),
            ("http://[::1]?x", ("[::1]:80", "[::1]", "/?x")),
            ("http://[::1]:81/", ("[::1]:81", "[::1]:81", "/")),
        ] {
            let url = url(text).unwrap();
            let found = (url.address.to_string(), url.host.as_str(), url.path.as_str());
            assert_eq!((found.0.as_str(), found.1, found.2), parts, "{text}");
        }
        for text in [
            "",
            "localhost",
            "https://localhost",
            "http://",
            "http://u@127.0.0.1/",
            "http://db/",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/\r\nX: y",
            "http://127.0.0.1/#a",
            "ftp://127.0.0.1",
        ] {
            assert!(url(text).is_err(), "{text:?}");
        }
    }
}
