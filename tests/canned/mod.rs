//! A control socket with canned answers in a thread of its own.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::TempDir;
use treeward::protocol::listener::Listener;
use treeward::protocol::message::{
    Activations, Changed, Listing, Outcomes, Planned, Signalled, Statuses, Version, Versioned, Web,
};
use treeward::protocol::server::{CallId, Incoming, Server};
use treeward::protocol::{Failure, Reply, Request};
use treeward::supervision::diff::{KeyChange, When};
use treeward::supervision::nodes::Node;
use treeward::supervision::plan::{Deed, Step, Wish};
use treeward::supervision::status::{
    Change, Mask, Outcome, Problem, ProcessStatus, SocketStatus, StateWord, Status, Summary,
};

/// A running service; ends with this value.
pub struct Service {
    pub dir: TempDir,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub fn new() -> Self {
        Self::with(2, None)
    }

    pub fn with(services: usize, group: Option<u32>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(Listener::bind(&dir.path().join("sock"), group).unwrap()).unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let canned = Canned { server, watching: Vec::new(), services };
        let thread = std::thread::spawn(move || serve(canned, &stopped));
        Self { dir, stop: Some(stop), thread: Some(thread) }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    pub fn slc(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slc"));
        command.env("TREEWARD_SOCKET", self.socket());
        command
    }

    pub fn run(&self, args: &[&str]) -> (i32, String, String) {
        ended(self.slc().args(args).output().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Exit status, standard output and standard error.
pub fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn summary(name: &str, state: StateWord) -> Summary {
    Summary {
        name: name.into(),
        description: format!("The {name} of the test"),
        state,
        health: None,
        since: 1_795_378_236_007,
        wanted: state == StateWord::Up,
        why: String::new(),
        main_pid: state.is_alive().then_some(100),
        restarts: 0,
    }
}

fn status(name: &str, state: StateWord) -> Status {
    Status {
        summary: summary(name, state),
        source: format!("/etc/yml-services/{name}.yml"),
        drop_ins: vec![],
        triggered_by: None,
        kind: "auto".into(),
        start: 1,
        hooks_are_numbered: false,
        first_pid: None,
        leaf: None,
        status_text: String::new(),
        health_text: String::new(),
        last_exit: String::new(),
        last_stop: String::new(),
        waiting_for: vec![],
        older_keys: vec![],
        missing_limits: vec![],
        findings: vec![],
        cpu_usec: None,
        memory_bytes: None,
        processes: 1,
        tree: vec![ProcessStatus {
            pid: 100,
            inner_pid: None,
            parent: 1,
            depth: 0,
            age: 1,
            state: "S".into(),
            command: "evil \x1b[2J".into(),
            adopted: true,
            main: true,
            wait_channel: String::new(),
        }],
        log: format!("/nonexistent/{name}.log"),
    }
}

/// What the launcher would say. A start and a stop always succeed at once.
struct Canned {
    server: Server,
    watching: Vec<CallId>,
    services: usize,
}

impl Canned {
    fn answer(&mut self, id: CallId, request: Request, now: u64) {
        let reply = match request {
            Request::Watch => return self.watching.push(id),
            Request::Power(_) => Err(Failure::NoPower { reason: "this is a stand-in".into() }),
            Request::Upgrade { program } => Err(Failure::NoUpgrade {
                program: program.unwrap_or_default(),
                reason: "this is a stand-in".into(),
            }),
            Request::List => Ok(Reply::List(self.listing())),
            Request::Status { units } => units
                .iter()
                .map(|unit| Ok(status(unit, known(unit)?)))
                .collect::<Result<_, _>>()
                .map(|services| Reply::Status(Statuses { services })),
            Request::Order { units, .. } => units
                .iter()
                .map(|unit| Ok(self.outcome(unit, known(unit)?, now)))
                .collect::<Result<_, _>>()
                .map(|outcomes| Reply::Outcomes(Outcomes { outcomes })),
            Request::Kill { unit, .. } => match known(&unit) {
                Ok(StateWord::Up) => Ok(Reply::Signalled(Signalled { signalled: 3 })),
                Ok(_) => Err(Failure::NotRunning { unit }),
                Err(failure) => Err(failure),
            },
            Request::Activations => Ok(Reply::Activations(Activations {
                sockets: vec![SocketStatus {
                    unit: "nginx".into(),
                    name: "http".into(),
                    address: "*:80".into(),
                    open: true,
                    watched: false,
                    state: StateWord::Up,
                }],
                timers: vec![],
                paths: vec![],
            })),
            Request::ReadUnits(wish) | Request::Plan(wish) => Ok(Reply::Planned(planned(&wish))),
            Request::Graph => Ok(Reply::Web(Web { now: 10_000, wall: 20_000, units: nodes() })),
            Request::Version => Ok(Reply::Version(Versioned { version: version() })),
        };
        match reply {
            Ok(reply) => self.server.reply(id, &reply, now),
            Err(failure) => self.server.fail(id, &failure, now),
        }
    }

    fn listing(&self) -> Listing {
        let mut services = vec![summary("cron", StateWord::Down), summary("nginx", StateWord::Up)];
        services
            .extend((2..self.services).map(|number| summary(&format!("s{number}"), StateWord::Up)));
        let text = "bad.yml:1:1: unknown key\n1 | x: y".into();
        Listing {
            services,
            problems: vec![Problem { name: "bad".into(), text }],
            findings: vec![],
            masked: vec![Mask {
                name: "apache".into(),
                link: "/etc/yml-services/apache.yml".into(),
            }],
            notice: String::new(),
        }
    }

    fn outcome(&mut self, unit: &str, state: StateWord, now: u64) -> Outcome {
        for (from, to) in [(StateWord::Up, StateWord::Down), (StateWord::Down, StateWord::Up)] {
            let change =
                Change { unit: unit.into(), start: 1, from, to, why: "order".into(), at: 1 };
            for id in &self.watching {
                self.server.stream(*id, &Reply::Changed(Changed { change: change.clone() }), now);
            }
        }
        let done = unit != "cron";
        let message = if done { "" } else { "it refuses" }.into();
        Outcome { unit: unit.into(), done, state, message }
    }
}

/// nginx came up after cron, for which it waited.
fn nodes() -> Vec<Node> {
    let node = |name: &str, began: u64, waited_for: Option<&str>| Node {
        name: name.into(),
        description: String::new(),
        kind: "auto".into(),
        state: StateWord::Up,
        since: began + 100,
        why: String::new(),
        because_of: None,
        wanted: true,
        origin: Some("enabled".into()),
        needed_by: None,
        triggered_by: None,
        last_order: String::new(),
        enabled: true,
        needs: vec![],
        after: waited_for.map(str::to_owned).into_iter().collect(),
        held_by: vec![],
        start: 1,
        restarts: 0,
        last_exit: String::new(),
        next: None,
        due: Some(1_000),
        free: Some(1_000),
        began: Some(began),
        up: Some(began + 100),
        waited_for: waited_for.map(str::to_owned),
        waited_turn: false,
    };
    vec![node("cron", 1_000, None), node("nginx", 1_100, Some("cron"))]
}

/// A new unit and a changed one; whoever names `bad` alone meets its mistake.
fn planned(wish: &Wish) -> Planned {
    if wish.only == ["bad"] {
        let text = "bad.yml:1:1: unknown key\n1 | x: y".into();
        let problems = vec![Problem { name: "bad".into(), text }];
        return Planned { done: false, steps: vec![], problems };
    }
    let keys = vec![KeyChange {
        key: "command".into(),
        old: Some("nginx".into()),
        new: Some("nginx -x".into()),
        when: When::NextStart,
    }];
    let deed = if wish.restart { Deed::Restart } else { Deed::Change };
    let steps = vec![
        Step { unit: "new".into(), deed: Deed::Start, why: "new".into(), keys: vec![] },
        Step { unit: "nginx".into(), deed, why: "changed".into(), keys },
    ];
    Planned { done: true, steps, problems: vec![] }
}

fn known(unit: &str) -> Result<StateWord, Failure> {
    match unit {
        "nginx" => Ok(StateWord::Up),
        "cron" => Ok(StateWord::Down),
        _ => Err(Failure::NoSuchUnit { unit: unit.into(), similar: vec!["nginx".into()] }),
    }
}

fn version() -> Version {
    Version {
        version: "9.9".into(),
        pid: 42,
        kernel: "6.18".into(),
        cgroup_root: "/sys/fs/cgroup".into(),
        units: "/etc/yml-services".into(),
        run_dir: "/run/treeward".into(),
        log_dir: "/nonexistent".into(),
        spawning: "clone3".into(),
        controllers: vec![],
    }
}

fn serve(mut canned: Canned, stopped: &UnixStream) {
    let begin = Instant::now();
    loop {
        let mut waits = [
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            PollFd::new(canned.server.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut waits, PollTimeout::NONE).unwrap();
        if waits[0].any().unwrap() {
            return;
        }
        let now = u64::try_from(begin.elapsed().as_millis()).unwrap();
        for incoming in canned.server.turn(now) {
            match incoming {
                Incoming::Call { id, request, .. } => canned.answer(id, request, now),
                Incoming::Gone(gone) => canned.watching.retain(|id| *id != gone),
            }
        }
    }
}
