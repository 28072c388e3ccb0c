//! The composition root of `service-launcher`, and the only place that knows both the rules
//! (`supervision`) and the doors (`kernel`).
//!
//! One loop, one thread that decides. A turn has a fixed order: wait until something is ready or
//! due; signals; deaths (each looked at while it is a zombie, then buried); reports of starts;
//! leaves that woke; notifications; the control socket; what is due; then everything that the
//! rules ask for, with the results fed back until there is nothing left.
//!
//! ```text
//!   kernel ──► Event ──► Supervisor ──► Action ──► kernel
//!                            │
//!                            └──► status ──► protocol ──► slc
//! ```

mod activation;
mod adopt;
mod asked;
mod batches;
mod births;
mod calls;
mod checks;
mod chores;
mod conditions;
mod describe;
mod findings;
mod glob;
mod going_down;
mod instances;
mod lane;
mod leaves;
mod limits;
mod lines;
mod locks;
mod news;
pub mod options;
mod paths;
mod perform;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod readiness;
mod records;
mod reload;
mod timers;
mod token;
mod traces;
mod upgrade;

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::console::{self, Flush};
use crate::kernel::cgroup::{self, Tree};
use crate::kernel::files;
use crate::kernel::leaf_events::LeafEvents;
use crate::kernel::notify_socket::NotifySocket;
use crate::kernel::poll::Poll;
use crate::kernel::signals::Signals;
use crate::kernel::spawn::{self, How};
use crate::kernel::{self, clock, heap, reap, signals};
use crate::power::Power;
use crate::protocol::listener::{BindError, Listener};
use crate::protocol::server::{CallId, Server};
use crate::supervision::name::UnitName;
use crate::supervision::status::{Mask, Problem};
use crate::supervision::supervisor::Supervisor;
use crate::supervision::{Action, Moment, Pid};
use crate::unit_file::{Directories, Unreadable};
use crate::words::words_of;

use activation::Activations;
use asked::Orders;
use births::Births;
use calls::Calls;
use checks::Checks;
use chores::{Chore, Chores};
use conditions::Looks;
use going_down::GoingDown;
use lane::Lane;
use leaves::{Leaves, Start};
use locks::Locks;
use options::Options;
use paths::Paths;
use readiness::Readiness;
use records::Records;
use reload::Readers;
use timers::Timers;
use token::Token;
use traces::Traces;

/// Why the supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no cgroup to work in.
    #[error(
        "{0}: Treeward needs a cgroup v2 subtree of its own: run it as root, or as an ordinary \
         user in a delegated one, for example by 'systemd-run --user --scope -p Delegate=yes \
         service-launcher ...', or name one that you may write by --cgroup-root"
    )]
    NoCgroup(kernel::Error),
    /// Another supervisor works in the same run directory.
    #[error("{dir}: already running, pid {pid}; use another --run-dir for a second supervisor")]
    Running {
        /// The run directory.
        dir: PathBuf,
        /// The other one.
        pid: u32,
    },
    /// Another supervisor looks after the same cgroups.
    #[error(
        "{root}: the supervisor with pid {pid} looks after the services in this cgroup; use another \
         --cgroup-root for a second one"
    )]
    Claimed {
        /// The root of the tree.
        root: PathBuf,
        /// The other one; 0 when it is in another pid namespace.
        pid: u32,
    },
    /// A unit directory cannot be read.
    #[error("{0}; make it, or name another by --units")]
    NoUnits(Unreadable),
    /// There is no such group.
    #[error("--group {0}: there is no such group")]
    NoGroup(String),
    /// The control socket cannot be made.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// The kernel refused something that is needed.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The kernel refused something that is needed.
    #[error("{}", words_of(.0))]
    Io(#[from] std::io::Error),
}

/// The supervisor of a machine, a container or a user.
struct Launcher {
    options: Options,
    tree: Tree,
    how: How,
    controllers: Vec<String>,
    poll: Poll,
    signals: Signals,
    leaf_events: LeafEvents,
    notifications: NotifySocket,
    server: Server,
    chores: Chores,
    looks: Looks,
    lane: Lane,
    supervisor: Supervisor,
    directories: Directories,
    problems: Vec<Problem>,
    /// What was found about units that are loaded.
    findings: Vec<Problem>,
    /// Units that are not to be.
    masked: Vec<Mask>,
    births: Births,
    checks: Checks,
    readiness: Readiness,
    leaves: Leaves,
    records: Records,
    calls: Calls,
    activations: Activations,
    timers: Timers,
    paths: Paths,
    readers: Readers,
    /// Processes of an earlier supervisor's starts that are no children of ours.
    adopted: HashMap<Pid, (Start, OwnedFd)>,
    /// Who gave orders for each unit.
    asked_by: HashMap<UnitName, Orders>,
    /// Limits that this system cannot hold, in words.
    missing_limits: HashMap<UnitName, Vec<String>>,
    /// What the rules asked for and was not done yet.
    actions: VecDeque<Action>,
    /// Whose record is not what it should be.
    unsaved: HashSet<UnitName>,
    /// Whose record says the same in other words: see [`Launcher::save_all`].
    save_later: Vec<UnitName>,
    /// There are dead processes that were not buried in the last turn.
    more_dead: bool,
    going_down: Option<GoingDown>,
    /// What the machine is to do when everything is down.
    power: Option<Power>,
    /// The file of the program that this process runs, which may have been replaced since.
    program: PathBuf,
    /// The program that this process is to become, and who waits for it.
    next_program: Option<(PathBuf, CallId)>,
    /// Leaves to remove when this turn's starts are made.
    removals: Vec<Chore>,
    _locks: Locks,
}

/// Runs the supervisor, or the log lane when the options say so, until its orderly end.
#[must_use]
pub fn run(options: Options) -> ExitCode {
    let flush = if options.journal { Flush::EachLine } else { Flush::EachTurn };
    console::init(flush, log::LevelFilter::Info);
    if options.journal {
        // It must not keep the file system busy that the supervisor was started in.
        let _ = std::env::set_current_dir("/");
        return match crate::journal::run(&options.lane) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    match absolute(options).and_then(Launcher::new) {
        Ok(mut launcher) => launcher.run(),
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    log::error!("{error}");
    log::logger().flush();
    ExitCode::FAILURE
}

impl Launcher {
    fn new(options: Options) -> Result<Self, Error> {
        files::raise_nofile_limit();
        let directories = Directories::of(options.units.clone());
        directories.must_be_readable().map_err(Error::NoUnits)?;
        let group = options.group.as_deref().map(group_id).transpose()?;
        let root = match &options.cgroup_root {
            Some(root) => root.clone(),
            None => cgroup::find_root().map_err(Error::NoCgroup)?,
        };
        let traces = Traces::before(&options.lane.run_dir, &root);
        Self::at(&root, directories, group, options).inspect_err(|_| traces.remove())
    }

    fn at(
        root: &Path,
        directories: Directories,
        group: Option<u32>,
        options: Options,
    ) -> Result<Self, Error> {
        let run_dir = options.lane.run_dir.clone();
        let tree = Tree::open(root).map_err(Error::NoCgroup)?;
        files::secure_dir(&run_dir)?;
        let (tree, locks) = locks::take(&run_dir, tree)?;
        reap::set_subreaper()?;
        let meant = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
        let signals = Signals::new(&[&meant[..], &signals::deadly()].concat())?;
        tree.enter_supervisor()?;
        let controllers = tree.enable_controllers();
        let how = spawn::probe(&tree);
        let listener = Listener::bind(&run_dir.join("control.sock"), group)?;
        let notifications =
            NotifySocket::open(&run_dir.join("notify"), lane::keeper(&run_dir), lane::KEPT)?;
        let activations = Activations::open(&run_dir, lane::keeper(&run_dir))?;
        let held = [notifications.duplicate()?, activations.duplicate()?];
        let lane = Lane::new(&options, &tree, held)?;
        let groups = tree.groups()?;
        let chores = Chores::new()?;
        heap::leave_the_rest();
        chores.add(Chore::MakeGroups {
            directories: directories.clone(),
            tree: tree.clone(),
            there: groups.iter().cloned().collect(),
        });
        let records = Records::open(&run_dir)?;
        let asked = instances::instances_left(&tree, &records, &groups);
        let read = directories.read(&asked).map_err(Error::NoUnits)?;
        let mut launcher = Self {
            tree,
            how,
            controllers,
            poll: Poll::new()?,
            signals,
            leaf_events: LeafEvents::new()?,
            notifications,
            server: Server::new(listener)?,
            chores,
            looks: Looks::default(),
            lane,
            supervisor: Supervisor::default(),
            directories,
            problems: Vec::new(),
            findings: Vec::new(),
            masked: Vec::new(),
            births: Births::default(),
            checks: Checks::default(),
            readiness: Readiness::new(&run_dir),
            leaves: Leaves::default(),
            records,
            calls: Calls::default(),
            activations,
            timers: Timers::new(&options.state_dir)?,
            paths: Paths::new()?,
            readers: Readers::default(),
            adopted: HashMap::new(),
            asked_by: HashMap::new(),
            missing_limits: HashMap::new(),
            actions: VecDeque::new(),
            unsaved: HashSet::new(),
            save_later: Vec::new(),
            // After an upgrade some may have died in between.
            more_dead: true,
            going_down: None,
            power: None,
            program: std::env::current_exe()?,
            next_program: None,
            removals: Vec::new(),
            options,
            _locks: locks,
        };
        launcher.supervisor.limit_starting(launcher.options.most_starting());
        launcher.watch_descriptors()?;
        launcher.begin(read, &groups);
        Ok(launcher)
    }

    fn watch_descriptors(&self) -> Result<(), kernel::Error> {
        self.poll.add(&self.signals, Token::Signals.number())?;
        self.poll.add(&self.leaf_events, Token::Leaves.number())?;
        self.poll.add(&self.notifications, Token::Notifications.number())?;
        self.poll.add(&self.server, Token::Control.number())?;
        self.poll.add(&self.timers, Token::Clock.number())?;
        self.poll.add(&self.paths, Token::Paths.number())?;
        self.poll.add(&self.chores, Token::Chores.number())
    }

    /// Turns until everything is down after a SIGTERM. A panic in a turn is a defect of ours, and
    /// no reason to leave the services alone: it is logged, and the loop goes on.
    fn run(&mut self) -> ExitCode {
        let mut ready = Vec::new();
        while !self.is_finished() {
            let turn = panic::catch_unwind(AssertUnwindSafe(|| self.turn(&mut ready)));
            if turn.is_err() {
                log::error!("a defect in this turn of the loop (see above); the loop goes on");
            }
        }
        self.leave()
    }

    /// One turn of the loop, in the order that the head of this file gives.
    fn turn(&mut self, ready: &mut Vec<u64>) {
        if let Err(error) = self.poll.wait(self.timeout(), ready) {
            log::error!("{error}");
        }
        let now = clock::monotonic_ms();
        let tokens: Vec<Token> = ready.iter().filter_map(|number| Token::of(*number)).collect();
        if tokens.contains(&Token::Signals) {
            self.take_signals(now);
        } else if self.more_dead {
            self.bury_all(now);
        }
        for token in &tokens {
            match token {
                Token::Births(batch) => self.take_batch(*batch, now),
                Token::Adopted(pid) => self.take_adopted_exit(*pid, now),
                Token::Socket(number) => self.take_connection(*number, now),
                Token::Leaves => self.take_leaf_events(now),
                Token::Notifications => self.take_notifications(now),
                Token::Chores => self.take_chores(now),
                Token::Lane => self.lane.other_ended(&self.poll),
                Token::Looks => self.take_looks(now),
                Token::Readiness => self.take_readiness(now),
                Token::Check(check) => self.take_check(*check, now),
                Token::Clock => self.take_clock(now),
                Token::Signals | Token::Control | Token::Paths => {}
            }
        }
        if tokens.contains(&Token::Control) || self.server.deadline().is_some_and(|at| at <= now) {
            self.take_calls(now);
        }
        self.take_late_reports(now);
        self.lane.tick(now);
        self.supervisor.tick(now);
        self.take_due(now);
        self.take_paths(tokens.contains(&Token::Paths), now);
        self.hurry_down(now);
        self.perform_all(now);
        self.births.batches.seal(&self.poll);
        self.save_all(now);
        self.removals.drain(..).for_each(|chore| self.chores.add(chore));
        self.answer_waiting(now);
        if self.actions.is_empty() {
            self.watch_leaves(now);
        }
        self.forget_left_sockets();
        self.become_next(now);
        log::logger().flush();
    }

    /// How long to wait, in milliseconds; for ever when nothing will be due.
    fn timeout(&self) -> Option<Moment> {
        let now = clock::monotonic_ms();
        let is_behind = self.leaves.has_unwatched() || !self.save_later.is_empty();
        if !self.actions.is_empty() || self.more_dead || is_behind {
            return Some(0);
        }
        let down = self.going_down.as_ref().map(GoingDown::deadline);
        let batches = self.births.batches.deadline();
        let (rules, timers) = (self.supervisor.deadline(), self.timers.deadline());
        let paths = self.paths.deadline();
        [rules, timers, paths, self.server.deadline(), self.lane.deadline(), batches, down]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_sub(now))
    }
}

/// Makes the paths of the options absolute: the log lane works elsewhere, and clients do.
fn absolute(mut options: Options) -> Result<Options, Error> {
    let lane = &mut options.lane;
    let paths = [&mut lane.run_dir, &mut lane.log_dir, &mut options.state_dir];
    for path in options.units.iter_mut().chain(paths) {
        *path = std::path::absolute(&*path)?;
    }
    if let Some(socket) = &mut lane.syslog {
        *socket = std::path::absolute(&*socket)?;
    }
    Ok(options)
}

fn group_id(name: &str) -> Result<u32, Error> {
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) | Err(_) => name.parse().map_err(|_| Error::NoGroup(name.to_owned())),
    }
}
