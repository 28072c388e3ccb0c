//! `sockets`: names, and where each listens.

use std::net::SocketAddr;
use std::path::Path;

use super::diagnostic::{Place, Report, Wrong, quoted};
use super::node::{Node, Value};
use super::scalar::{absolute_file, boolean, clean, umask, whole};
use super::{identity, keys};
use crate::supervision::activation::{Address, Socket, Style};

pub(super) const FORM: &str =
    "a mapping such as http: 80 or control: {listen: /run/x.sock, mode: 0660}";
const LISTEN: &str = "an address such as 80, 127.0.0.1:80, [::1]:80, 53/udp, /run/x.sock or @name";
const ENTRY: &str = "an address, or {listen: ..., type: ..., mode: ..., user: ..., ...}";
const NAME: &str = "a name of letters, digits and _.-";
const TYPE: &str = "stream, dgram, seqpacket or fifo";

/// So many sockets one unit may have: descriptors travel in single messages.
const MOST: usize = 200;
/// A socket's path, less the NUL behind it (unix(7)).
const LONGEST_PATH: usize = 107;

const KEYS: &[&str] =
    &["listen", "type", "mode", "user", "group", "backlog", "ipv6_only", "reuse_port", "free_bind"];

/// A socket, and where it was written.
pub(super) struct Read {
    pub place: Place,
    pub socket: Socket,
}

pub(super) fn sockets(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<Read> {
    let Value::Map(entries) = &node.value else {
        report.expected(node, form);
        return Vec::new();
    };
    if entries.is_empty() || entries.len() > MOST {
        let message = format!("{} sockets; expected 1 to {MOST}", entries.len());
        report.at(node.place, message);
        return Vec::new();
    }
    let mut sockets = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if report.is_full() {
            break;
        }
        let Some(name) = report.scalar(key, NAME, name) else { continue };
        let socket = report.inside(&name.clone(), |report| entry(name, key, value, report));
        sockets.extend(socket.map(|socket| Read { place: key.place, socket }));
    }
    sockets
}

/// Names go into `LISTEN_FDNAMES`, with colons between them.
fn name(text: &str) -> Result<String, Wrong> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text.is_empty() || text.len() > 255 || !text.bytes().all(fits) {
        return Err(Wrong::new(format!("{} is refused", quoted(text))));
    }
    Ok(text.to_owned())
}

fn entry(name: String, key: &Node, value: &Node, report: &mut Report<'_>) -> Option<Socket> {
    let mut draft = SocketDraft::default();
    match &value.value {
        Value::Scalar(_) => draft.listen = report.scalar(value, LISTEN, listen),
        Value::Map(entries) => {
            keys::inner(entries, KEYS, report, |key, value, report| {
                draft.seen.push((key, value.place));
                draft.read(key, value, report);
            });
            if !draft.seen.iter().any(|(key, _)| *key == "listen") {
                report.at(key.place, format!("there is no listen; expected {LISTEN}"));
            }
        }
        Value::Null => report.at(key.place, format!("no value; expected {ENTRY}")),
        Value::List(_) => report.expected(value, ENTRY),
    }
    draft.finish(name, report)
}

#[derive(Default)]
struct SocketDraft {
    seen: Vec<(&'static str, Place)>,
    listen: Option<(Address, Option<Style>)>,
    style: Option<Style>,
    mode: Option<u32>,
    user: Option<String>,
    group: Option<String>,
    backlog: Option<u32>,
    ipv6_only: Option<bool>,
    reuse_port: Option<bool>,
    free_bind: Option<bool>,
}

impl SocketDraft {
    fn read(&mut self, key: &str, value: &Node, report: &mut Report<'_>) {
        const MODE: &str = "an octal number such as 0660";
        let flag = |report: &mut Report<'_>| report.scalar(value, "true or false", boolean);
        let backlog = |text: &str| whole(text, 1, i32::MAX.into()).map(|number| number as u32);
        match key {
            "listen" => self.listen = report.scalar(value, LISTEN, listen),
            "type" => self.style = report.scalar(value, TYPE, style),
            "mode" => self.mode = report.scalar(value, MODE, umask),
            "user" => self.user = report.scalar(value, "a user's name or number", identity::name),
            "group" => {
                self.group = report.scalar(value, "a group's name or number", identity::name)
            }
            "backlog" => self.backlog = report.scalar(value, "a whole number from 1", backlog),
            "ipv6_only" => self.ipv6_only = flag(report),
            "reuse_port" => self.reuse_port = flag(report),
            _ => self.free_bind = flag(report),
        }
    }

    fn finish(self, name: String, report: &mut Report<'_>) -> Option<Socket> {
        let (address, implied) = self.listen.clone()?;
        let style = self.style.or(implied).unwrap_or(Style::Stream);
        if let (Some(implied), Some(said)) = (implied, self.style)
            && implied != said
        {
            self.complain("type", report, "the address says another one; remove one of them");
        }
        let is_path = matches!(address, Address::Path(_));
        let is_inet = matches!(address, Address::Inet(_) | Address::Any(_));
        match style {
            Style::SequentialPackets if is_inet => {
                self.complain(
                    "type",
                    report,
                    "only unix sockets have it; expected a path or @name",
                );
            }
            Style::Fifo if !is_path => {
                self.complain("type", report, "a FIFO is a file; expected a path as listen");
            }
            Style::Stream | Style::Datagram | Style::SequentialPackets | Style::Fifo => {}
        }
        if !is_path {
            for key in ["mode", "user", "group"] {
                self.complain(
                    key,
                    report,
                    "only a path has an owner and a mode; remove this, or listen at a path",
                );
            }
        }
        if !is_inet {
            for key in ["ipv6_only", "reuse_port", "free_bind"] {
                self.complain(key, report, "only addresses of the network have this; remove it");
            }
        }
        if matches!(style, Style::Datagram | Style::Fifo) {
            self.complain(
                "backlog",
                report,
                "nobody connects to this type, so nothing queues; remove this",
            );
        }
        Some(Socket {
            name,
            address,
            style,
            mode: self.mode.unwrap_or(0o666),
            user: self.user,
            group: self.group,
            backlog: self.backlog,
            ipv6_only: self.ipv6_only.unwrap_or(false),
            reuse_port: self.reuse_port.unwrap_or(false),
            free_bind: self.free_bind.unwrap_or(false),
        })
    }

    fn complain(&self, key: &str, report: &mut Report<'_>, message: &str) {
        let place = self.seen.iter().find(|(seen, _)| *seen == key).map(|(_, place)| *place);
        if let Some(place) = place {
            report.inside(key, |report| report.at(place, message));
        }
    }
}

fn style(text: &str) -> Result<Style, Wrong> {
    match text {
        "stream" | "tcp" => Ok(Style::Stream),
        "dgram" | "udp" => Ok(Style::Datagram),
        "seqpacket" => Ok(Style::SequentialPackets),
        "fifo" => Ok(Style::Fifo),
        _ => {
            let wrong = Wrong::new(format!("there is no type {}", quoted(text)));
            let words = ["stream", "dgram", "seqpacket", "fifo"];
            Err(match keys::nearest_of(text, words.into_iter()) {
                Some(near) => wrong.hint(format!("did you mean {near}?")),
                None => wrong,
            })
        }
    }
}

/// An address, and the type that a `/udp` or `/tcp` behind it means.
fn listen(text: &str) -> Result<(Address, Option<Style>), Wrong> {
    if text.starts_with('/') {
        let path = absolute_file(text)?;
        fits(path.as_os_str().len())?;
        return Ok((Address::Path(path), None));
    }
    if let Some(name) = text.strip_prefix('@') {
        let name = clean(name, "")?;
        if name.is_empty() {
            return Err(Wrong::new("there is no name behind the @"));
        }
        fits(name.len())?;
        return Ok((Address::Abstract(name), None));
    }
    let (address, style) = match text.rsplit_once('/') {
        Some((address, "tcp")) => (address, Some(Style::Stream)),
        Some((address, "udp")) => (address, Some(Style::Datagram)),
        Some(_) => {
            let wrong = Wrong::new(format!("{} is no absolute path", quoted(text)));
            return Err(wrong.hint("a path begins with /; an address may end with /tcp or /udp"));
        }
        None => (text, None),
    };
    Ok((inet(address)?, style))
}

fn fits(length: usize) -> Result<(), Wrong> {
    if length > LONGEST_PATH {
        return Err(Wrong::new(format!("a socket's path has at most {LONGEST_PATH} bytes")));
    }
    Ok(())
}

fn inet(text: &str) -> Result<Address, Wrong> {
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return port(text).map(Address::Any);
    }
    if let Some(text) = text.strip_prefix("*:") {
        return port(text).map(Address::Any);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        port(&address.port().to_string())?;
        return Ok(Address::Inet(address));
    }
    let wrong = Wrong::new(format!("{} is no address", quoted(text)));
    Err(match text.rsplit_once(':') {
        Some(("", number)) => wrong.hint(format!("for every address write {}", quoted(number))),
        Some((host, number)) if host.contains(':') && !host.starts_with('[') => {
            wrong.hint(format!("an IPv6 address stands in brackets: [{host}]:{number}"))
        }
        Some(_) => wrong.hint("an address is numbers, not a name"),
        None if text.parse::<std::net::IpAddr>().is_ok() => wrong.hint("there is no port"),
        None if Path::new(text).components().count() > 1 => wrong.hint("a path begins with /"),
        None => wrong,
    })
}

fn port(text: &str) -> Result<u16, Wrong> {
    match text.parse() {
        Ok(0) => Err(Wrong::new("port 0 would be another one each time")),
        Ok(port) => Ok(port),
        Err(_) => Err(Wrong::new(format!("{} is no port", quoted(text)))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Style, listen};

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let shown = |text: &str| {
            let (address, style) = listen(text).unwrap_or_else(|_| panic!("{text}"));
            (address.to_string(), style)
        };
        for (text, address, style) in [
            ("80", "*:80", None),
            ("*:80", "*:80", None),
            ("0.0.0.0:80", "0.0.0.0:80", None),
            ("[::]:80", "[::]:80", None),
            ("[::1]:80/tcp", "[::1]:80", Some(Style::Stream)),
            ("53/udp", "*:53", Some(Style::Datagram)),
            ("/run/x.sock", "/run/x.sock", None),
            ("/run/udp", "/run/udp", None),
            ("@x", "@x", None),
        ] {
            assert_eq!(shown(text), (address.to_owned(), style), "{text}");
        }
        assert!(matches!(listen("443").unwrap().0, Address::Any(443)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("/{}", "x".repeat(107));
        for text in [
            "",
            "0",
            "65536",
            ":80",
            "localhost:80",
            "::1:80",
            "127.0.0.1",
            "run/x.sock",
            "x",
            "@",
            "127.0.0.1:0",
            "127.0.0.1:99999",
            "80/sctp",
            "/run/",
            "-1",
            "80:80",
            "1.2.3.4.5:80",
            "/run/a\u{1b}b",
            &long,
        ] {
            assert!(listen(text).is_err(), "{text:?}");
        }
    }
}
