//! The command line of `run-on-pid-ns`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::protocol::SOCKET;

const ABOUT: &str = "\
Runs another init (systemd, runit, busybox, a shell) as process 1 of namespaces of its own.

The guest gets pid, mount, time, uts, ipc and cgroup namespaces, its own /proc, /sys, /dev, /run and \
/tmp, a cgroup2 tree at /sys/fs/cgroup that begins at its own cgroup, and an uptime that begins at \
0. /proc/sys, /proc/sysrq-trigger and /sys are read-only, and it can neither load kernel modules nor \
set the clock. It keeps the machine's network unless --private-network is given. All this keeps a guest \
from damaging its host by accident; it does not lock in one that means harm and is root.";

const AFTER_HELP: &str = "\
Examples:
  run-on-pid-ns --root /srv/guest --hostname guest /lib/systemd/systemd
  run-on-pid-ns --root /srv/void --volatile --private-network /sbin/runit
  run-on-pid-ns --terminal --share network,tmp /bin/bash

Signals:
  TERM, INT, HUP  ask the guest to power off, in its own language: systemd by SIGRTMIN+4, runit by
                  its stop file and SIGCONT, busybox by SIGUSR2, any other by --stop-signal. Who has
                  not ended after --stop-timeout is killed. A second INT kills at once.
  USR2            asks the guest to reboot, where its language has a word for it
  USR1, PWR, RTMIN to RTMAX  are passed on to the guest's init

Exit status:
  0         the guest powered off, or ended in time after it was asked to
  N         the guest's init exited with N
  128+S     signal S killed the guest's init (137: it had to be killed)
  129       the guest asked for a reboot, with --on-reboot exit
  125       the guest could not be set up; the error output says why
  126, 127  the command cannot be executed; it was not found
  2         the command line makes no sense";

/// What a guest can share with its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Share {
    /// process ids; the guest's init is then not process 1
    Pid,
    /// the mounts, and with them every directory below
    Mount,
    /// the clocks since boot, so the uptime too
    Time,
    /// the host's name
    Uts,
    /// System V IPC and message queues
    Ipc,
    /// the root of the cgroup tree
    Cgroup,
    /// /proc, with every process of the host
    Proc,
    /// /proc/sys to write to
    Sysctl,
    /// /proc/sysrq-trigger to write to
    Sysrq,
    /// /sys to write to
    Sys,
    /// the capabilities to load modules, touch ports and set the clock
    Capabilities,
    /// /dev, with every device
    Dev,
    /// /run
    Run,
    /// /tmp
    Tmp,
}

/// What follows when the guest powers off or reboots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Then {
    /// start the guest again
    Restart,
    /// end
    Exit,
    /// let the supervisor do the same to the machine
    Machine,
}

/// A path of the host and where the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// In the guest.
    pub target: PathBuf,
    /// Whether the guest may only read it.
    pub read_only: bool,
}

/// What was asked for.
#[derive(Debug, Clone, Parser)]
#[command(name = "run-on-pid-ns", version, about = "Runs another init in namespaces of its own",
    long_about = ABOUT, after_long_help = AFTER_HELP, max_term_width = 100)]
#[group(id = "run_on_pid_ns")]
pub struct Options {
    /// The guest's root file system [default: the host's own]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Forget all that the guest changes in its root when it ends (an overlay in memory)
    #[arg(long)]
    pub volatile: bool,

    /// The name that the guest begins with; its own /etc/hostname may change it [default: the
    /// host's]
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,

    /// Give the guest a network of its own, with nothing but a loopback interface
    #[arg(long)]
    pub private_network: bool,

    /// What the guest shares with its host [default: the network only]
    #[arg(long, value_name = "WHAT", value_delimiter = ',', hide_possible_values = false)]
    share: Vec<Share>,

    /// New pid, mount and time namespaces, and nothing else: `/proc`, `/run`, `/tmp`, `/dev`, the
    /// cgroups and the host's name are shared, and nothing says that this is a container. systemd
    /// then takes the machine for its own: empties /tmp, renames the host
    #[arg(long)]
    as_in_the_article: bool,

    /// The value of the variable `container`, by which guests know what they are; empty for none
    #[arg(long, value_name = "NAME")]
    container: Option<String>,

    /// Set a variable for the guest's init; NAME alone takes the value it has here, which all but
    /// those of sockets have anyway
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub setenv: Vec<(String, String)>,

    /// Show a file or directory of the host in the guest
    #[arg(long, value_name = "SOURCE[:TARGET[:ro]]", value_parser = bind)]
    pub bind: Vec<Bind>,

    /// Give the guest a device of the host
    #[arg(long, value_name = "PATH")]
    pub device: Vec<PathBuf>,

    /// Let `slc` work inside: show the directory of the supervisor's socket as /run/treeward
    #[arg(long, value_name = "SOCKET", num_args = 0..=1, default_missing_value = SOCKET,
        require_equals = true)]
    pub control_socket: Option<PathBuf>,

    /// Let the guest's init say when it is ready (sd_notify), for units of `type: notify`; else
    /// it is ready when it is executed
    #[arg(long)]
    pub notify: bool,

    /// Leave the guest in the caller's session, so that a shell has job control; Ctrl-C then
    /// reaches both
    #[arg(long)]
    pub terminal: bool,

    /// When the guest reboots
    #[arg(long, value_name = "THEN", default_value = "restart")]
    pub on_reboot: Then,

    /// When the guest powers off
    #[arg(long, value_name = "THEN", default_value = "exit")]
    pub on_poweroff: Then,

    /// The signal that asks an init of no known kind to end
    #[arg(long, value_name = "SIGNAL", default_value = "TERM", value_parser = signal)]
    pub stop_signal: i32,

    /// A shell command that is run in the guest to end it, instead of any signal
    #[arg(long, value_name = "COMMAND")]
    pub stop_command: Option<String>,

    /// How long the guest may take to end before it is killed, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds,
        allow_negative_numbers = true)]
    pub stop_timeout: Duration,

    /// The guest's init and its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<OsString>,
}

/// What the article's own program left shared: all but pids, mounts and the clocks.
const ARTICLE: [Share; 11] = [
    Share::Uts,
    Share::Ipc,
    Share::Cgroup,
    Share::Proc,
    Share::Sysctl,
    Share::Sysrq,
    Share::Sys,
    Share::Capabilities,
    Share::Dev,
    Share::Run,
    Share::Tmp,
];

impl Options {
    /// Whether the guest has this of its own.
    #[must_use]
    pub fn owns(&self, what: Share) -> bool {
        let shared =
            self.share.contains(&what) || self.as_in_the_article && ARTICLE.contains(&what);
        // Without mounts of its own it cannot have a file system of its own either.
        let needs_mounts = !matches!(
            what,
            Share::Pid
                | Share::Time
                | Share::Uts
                | Share::Ipc
                | Share::Cgroup
                | Share::Capabilities
        );
        !shared && (!needs_mounts || !self.share.contains(&Share::Mount))
    }

    /// The value of `container`; `None` when it is not to be set.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        let default = if self.as_in_the_article { "" } else { "treeward" };
        Some(self.container.as_deref().unwrap_or(default)).filter(|name| !name.is_empty())
    }

    /// What cannot be had together, as a sentence.
    #[must_use]
    pub fn contradiction(&self) -> Option<&'static str> {
        let mounts = self.root.is_some() || self.volatile || !self.bind.is_empty();
        if !self.owns(Share::Mount) && mounts {
            return Some(
                "--root, --volatile and --bind need mounts of their own: not --share mount",
            );
        }
        if !self.owns(Share::Uts) && self.hostname.is_some() {
            return Some("--hostname would rename this machine: not with --share uts");
        }
        if !self.owns(Share::Mount) && self.control_socket.is_some() {
            return Some("--control-socket is not needed with --share mount: the socket is there");
        }
        None
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds is expected, such as 30 or 0.5".to_owned();
    text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok()).ok_or_else(wrong)
}

/// A signal by its number or name, with or without SIG; real-time ones as RTMIN+3.
fn signal(text: &str) -> Result<i32, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |rest: &str, from: i32, sign: i32| {
        let offset = if rest.is_empty() { 0 } else { rest.get(1..)?.parse().ok()? };
        Some(from + sign * offset).filter(|n| (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(n))
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        rest.is_empty()
            .then_some(())
            .or(rest.starts_with('+').then_some(()))
            .and_then(|()| real_time(rest, libc::SIGRTMIN(), 1))
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        rest.is_empty()
            .then_some(())
            .or(rest.starts_with('-').then_some(()))
            .and_then(|()| real_time(rest, libc::SIGRTMAX(), -1))
    } else if let Ok(number) = name.parse() {
        Some(number).filter(|number| (1..=64).contains(number))
    } else {
        format!("SIG{name}").parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as i32)
    };
    number.ok_or_else(|| "a signal is expected, such as TERM, SIGINT, 15 or RTMIN+4".to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("a name is expected before the =".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match std::env::var(text) {
            Ok(value) => Ok((text.to_owned(), value)),
            Err(_) => Err("it is not set here, so a value is expected: NAME=VALUE".to_owned()),
        },
    }
}

fn bind(text: &str) -> Result<Bind, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, read_only) = match parts[..] {
        [source] => (source, source, false),
        [source, target] => (source, target, false),
        [source, target, "ro"] => (source, target, true),
        _ => return Err("expected is SOURCE, SOURCE:TARGET or SOURCE:TARGET:ro".to_owned()),
    };
    if !source.starts_with('/') || !target.starts_with('/') {
        return Err("both paths must be absolute".to_owned());
    }
    Ok(Bind { source: source.into(), target: target.into(), read_only })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Options {
        Options::parse_from([&["run-on-pid-ns"], arguments, &["/sbin/init"]].concat())
    }

    #[test]
    fn the_command_line_is_well_formed_and_help_has_examples() {
        Options::command().debug_assert();
        let help = Options::command().render_long_help().to_string();
        for word in ["Examples:", "Exit status:", "[default: restart]", "[default: 30]", "sysrq"] {
            assert!(help.contains(word), "{word}");
        }
    }

    #[test]
    fn a_guest_owns_everything_unless_told_otherwise() {
        let options = parse(&[]);
        for what in Share::value_variants() {
            assert!(options.owns(*what), "{what:?}");
        }
        assert_eq!(options.container(), Some("treeward"));
        assert_eq!(options.on_reboot, Then::Restart);
        assert_eq!(options.on_poweroff, Then::Exit);
    }

    #[test]
    fn the_article_had_three_namespaces() {
        let options = parse(&["--as-in-the-article"]);
        let own: Vec<_> = Share::value_variants().iter().filter(|w| options.owns(**w)).collect();
        assert_eq!(own, [&Share::Pid, &Share::Mount, &Share::Time]);
        assert_eq!(options.container(), None);
        let named = parse(&["--as-in-the-article", "--container", "x"]);
        assert_eq!(named.container(), Some("x"));
    }

    #[test]
    fn without_mounts_there_are_no_directories_of_its_own() {
        let options = parse(&["--share", "mount,uts"]);
        for what in [Share::Mount, Share::Uts, Share::Proc, Share::Run, Share::Dev, Share::Sysrq] {
            assert!(!options.owns(what), "{what:?}");
        }
        for what in [Share::Pid, Share::Time, Share::Ipc, Share::Cgroup, Share::Capabilities] {
            assert!(options.owns(what), "{what:?}");
        }
        assert!(parse(&["--share", "mount", "--root", "/x"]).contradiction().is_some());
        assert!(parse(&["--share", "uts", "--hostname", "x"]).contradiction().is_some());
        assert!(parse(&["--root", "/x", "--hostname", "x"]).contradiction().is_none());
    }

    #[test]
    fn signals_are_numbers_or_names() {
        for (text, number) in [
            ("TERM", 15),
            ("sigint", 2),
            ("10", 10),
            ("RTMIN+4", libc::SIGRTMIN() + 4),
            ("SIGRTMAX-1", libc::SIGRTMAX() - 1),
            ("RTMIN", libc::SIGRTMIN()),
        ] {
            assert_eq!(signal(text), Ok(number), "{text}");
        }
        for text in ["", "0", "65", "RTMIN+99", "RTMINx", "RTMIN-1", "RTMAX+1", "FOO"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn binds_and_variables_are_split_once() {
        let bound = bind("/a:/b:ro").unwrap();
        assert_eq!((bound.source, bound.target, bound.read_only), ("/a".into(), "/b".into(), true));
        assert_eq!(bind("/a").unwrap().target, PathBuf::from("/a"));
        for text in ["", "a", "/a:b", "/a:/b:rw", "/a:/b:ro:x"] {
            assert!(bind(text).is_err(), "{text}");
        }
        assert_eq!(variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert!(variable("=b").is_err());
        assert!(variable("NOT_SET_ANYWHERE_AT_ALL").is_err());
    }

    #[test]
    fn the_guests_own_options_stay_its_own() {
        let options = Options::parse_from(["run-on-pid-ns", "--notify", "sh", "--root", "-c"]);
        assert_eq!(options.command, ["sh", "--root", "-c"]);
        assert_eq!(options.root, None);
    }
}
