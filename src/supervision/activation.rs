//! [`Activation`]: what starts a service besides people and a boot, and what it is given then.
//!
//! A unit that is triggered is not started at boot: it is [`super::Want::Armed`], at rest until a
//! connection or a change of its surroundings. What the loop must do about it is its [`Guard`], a
//! level that follows from what is wanted and the state:
//!
//! ```text
//!                   a trigger                  the run is over by itself
//!   watched ────────────────────────► held ──────────────────────────────► watched
//!      ▲ │                              ▲ │
//!      │ └───────────► off ◄────────────┼─┘  a person's stop, a failure that is final
//!    armed                            start
//! ```

use core::net::SocketAddr;
use std::fmt;
use std::path::PathBuf;

use super::timers::Timer;

/// What starts a service, and the sockets that it is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activation {
    /// In the order in which the service gets them, from descriptor 3 on.
    pub sockets: Vec<Socket>,
    /// When a service with sockets is started.
    pub mode: Mode,
    /// What makes it due.
    pub timers: Vec<Timer>,
    /// What must be so about paths.
    pub paths: Vec<PathTrigger>,
}

impl Activation {
    /// Whether the unit waits for something to start it, instead of starting at boot.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.listens_on_demand() || !self.timers.is_empty() || !self.paths.is_empty()
    }

    /// Whether the first connection starts it.
    #[must_use]
    pub fn listens_on_demand(&self) -> bool {
        self.mode == Mode::OnDemand && !self.sockets.is_empty()
    }
}

/// When a service with sockets is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// With all others; its sockets are open before.
    #[default]
    Boot,
    /// When somebody connects.
    OnDemand,
}

/// A socket that the supervisor opens, and a service gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Its name in `LISTEN_FDNAMES`.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// What is said on it.
    pub style: Style,
    /// The mode of a socket file.
    pub mode: u32,
    /// Who owns a socket file, by name or number; the supervisor's user when absent.
    pub user: Option<String>,
    /// The group of a socket file; the user's own when absent.
    pub group: Option<String>,
    /// How many connections may wait; the kernel's limit when absent.
    pub backlog: Option<u32>,
    /// IPv6 alone, also on `[::]`.
    pub ipv6_only: bool,
    /// Others may listen there as well (SO_REUSEPORT).
    pub reuse_port: bool,
    /// Also where the machine has no such address yet (IP_FREEBIND).
    pub free_bind: bool,
}

impl Socket {
    /// Whether the kernel refuses one of the two because of the other.
    #[must_use]
    pub fn is_in_the_way_of(&self, other: &Self) -> bool {
        use Address::{Abstract, Any, Inet, Path};
        if self.reuse_port && other.reuse_port {
            return false;
        }
        let same_style = self.style == other.style;
        match (&self.address, &other.address) {
            (Path(one), Path(two)) => one == two,
            (Abstract(one), Abstract(two)) => one == two,
            (Any(port), Any(other)) => same_style && port == other,
            (Any(port), Inet(at)) | (Inet(at), Any(port)) => same_style && *port == at.port(),
            (Inet(one), Inet(two)) => {
                same_style && one.port() == two.port() && overlap(self, one, other, two)
            }
            (Path(_) | Abstract(_) | Any(_) | Inet(_), _) => false,
        }
    }
}

/// Whether two IP addresses take the same traffic.
fn overlap(one: &Socket, a: &SocketAddr, two: &Socket, b: &SocketAddr) -> bool {
    let takes_both = |socket: &Socket, at: &SocketAddr| {
        at.is_ipv6() && at.ip().is_unspecified() && !socket.ipv6_only
    };
    let same_family = a.is_ipv4() == b.is_ipv4();
    a.ip() == b.ip()
        || (same_family && (a.ip().is_unspecified() || b.ip().is_unspecified()))
        || (!same_family && (takes_both(one, a) || takes_both(two, b)))
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.style, &self.address) {
            (Style::Stream, address) => write!(f, "{address}"),
            (Style::Datagram, Address::Any(_) | Address::Inet(_)) => {
                write!(f, "{}/udp", self.address)
            }
            (style, address) => write!(f, "{address} ({})", style.word()),
        }
    }
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// This port of every address, IPv6 and IPv4.
    Any(u16),
    /// One address, or all of one family.
    Inet(SocketAddr),
    /// A file of a unix socket, or a FIFO.
    Path(PathBuf),
    /// A unix socket without a file (unix(7)).
    Abstract(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(port) => write!(f, "*:{port}"),
            Self::Inet(address) => write!(f, "{address}"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// What is said on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Connections: TCP, or a unix stream.
    Stream,
    /// Datagrams: UDP, or unix datagrams.
    Datagram,
    /// Connections that keep the bounds of messages; unix only.
    SequentialPackets,
    /// A FIFO, which is no socket but is passed like one.
    Fifo,
}

impl Style {
    /// The word used in unit files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Datagram => "dgram",
            Self::SequentialPackets => "seqpacket",
            Self::Fifo => "fifo",
        }
    }
}

/// A path, and what must be so about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTrigger {
    /// The path, absolute.
    pub path: PathBuf,
    /// What must be so.
    pub condition: PathCondition,
}

impl fmt::Display for PathTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.condition.words())
    }
}

/// What must be so about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathCondition {
    /// Something is there.
    Exists,
    /// It is not as it was when the unit was last started; a write counts when it is closed.
    Changed,
    /// The same, and each write counts.
    Modified,
    /// It is a directory with something in it.
    DirectoryNotEmpty,
}

impl PathCondition {
    /// The word used in unit files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Changed => "changed",
            Self::Modified => "modified",
            Self::DirectoryNotEmpty => "directory_not_empty",
        }
    }

    /// To go behind the path.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Changed => "has changed",
            Self::Modified => "is modified",
            Self::DirectoryNotEmpty => "is not empty",
        }
    }
}

/// What the loop must do about a unit's triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Nothing: its sockets are closed.
    Off,
    /// Its sockets are open for the service, and nobody looks at them.
    Held,
    /// Its sockets are open, and what it waits for is watched.
    Watched,
}

/// What has happened that starts a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// It came to be while it was watched.
    Fresh,
    /// It was so already when the watch began.
    Standing,
}

#[cfg(test)]
mod tests {
    use super::{Address, Socket, Style};
    use crate::supervision::rig::socket;

    fn at(text: &str) -> Socket {
        let address = match text.parse() {
            Ok(address) => Address::Inet(address),
            Err(_) => Address::Any(text.parse().unwrap()),
        };
        Socket { address, ..socket("x") }
    }

    #[test]
    fn addresses_that_take_the_same_traffic_are_in_each_others_way() {
        for (one, two, expected) in [
            ("80", "80", true),
            ("80", "81", false),
            ("80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::1]:80", "127.0.0.1:80", false),
            ("[::1]:80", "0.0.0.0:80", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:80", true),
        ] {
            assert_eq!(at(one).is_in_the_way_of(&at(two)), expected, "{one} {two}");
            assert_eq!(at(two).is_in_the_way_of(&at(one)), expected, "{two} {one}");
        }
        let udp = Socket { style: Style::Datagram, ..at("80") };
        assert!(!udp.is_in_the_way_of(&at("80")));
        let only = Socket { ipv6_only: true, ..at("[::]:80") };
        assert!(!only.is_in_the_way_of(&at("127.0.0.1:80")));
        let shared = Socket { reuse_port: true, ..at("80") };
        assert!(!shared.is_in_the_way_of(&shared) && shared.is_in_the_way_of(&at("80")));
    }
}
