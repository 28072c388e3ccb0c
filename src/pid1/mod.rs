//! What process 1 of a machine does: it sets up what every Linux system needs, mounts the file
//! systems, keeps `service-launcher` running, buries orphans, and ends the machine.
//!
//! ```text
//!   setup ─► file_systems ─► the loop below ─► shutdown ─► reboot(2)
//!                             │ keep, emergency │ unmount
//! ```
//!
//! It never ends and never panics, for the kernel panics with it. What goes wrong is one line on
//! the console, and it goes on as far as it can.

mod by_hand;
mod check;
mod emergency;
mod file_systems;
pub mod fstab;
mod keep;
mod mount_options;
mod options;
mod renew;
mod setup;
mod shutdown;
mod tools;
mod unmount;
mod watch;

use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use log::LevelFilter;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

use crate::console::{self, Flush, clean};
use crate::kernel::clock;
use crate::kernel::machine;
use crate::kernel::reap::ExitStatus;
use crate::power::Power;

use file_systems::Root;
use keep::Keeper;
use options::Options;
use shutdown::{Shutdown, end_machine};
use watch::{Watch, bury_dead};

/// The pause between an emergency shell and the next try, so that a shell that cannot run does not
/// keep the machine busy.
const AFTER_SHELL: u64 = 3_000;

/// The main function of `init`. As process 1 it never comes back.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let arguments: Vec<OsString> = words.collect();
    if let [stage, console] = arguments.as_slice()
        && stage == emergency::STAGE
    {
        console::init(Flush::EachLine, LevelFilter::Info);
        emergency::become_shell(Path::new(console));
        return ExitCode::FAILURE;
    }
    if std::process::id() != 1 {
        return by_hand::run(&name, &arguments);
    }
    if let Some((power, log_dir)) = renew::asked_for(&arguments) {
        console::init(Flush::EachLine, LevelFilter::Info);
        // The name of a copy in memory is that of its descriptor.
        let _ = nix::sys::prctl::set_name(c"init");
        let _ = panic::catch_unwind(|| shutdown::end_mounts(power, &log_dir, false));
        end_machine(power);
    }
    let options = begin(arguments);
    let mut init = Init::new(options);
    init.guarded(Init::boot);
    init.run()
}

/// Sets up what must be there before a word can be said, and reads what it is told.
fn begin(arguments: Vec<OsString>) -> Options {
    umask(Mode::from_bits_truncate(0o022));
    let _ = std::env::set_current_dir("/");
    let _ = nix::unistd::setsid();
    machine::keep_descriptors_to_ourselves();
    let problems = setup::mount_all();
    // A container sees the command line of the machine's own kernel, which is not meant for it.
    let kernel = if machine::is_container() { None } else { std::fs::read("/proc/cmdline").ok() };
    let options = Options::read(&kernel.unwrap_or_default(), arguments.into_iter());
    let opened = setup::open_console(options.console.as_deref());
    let level = if options.debug { LevelFilter::Debug } else { LevelFilter::Info };
    console::init(Flush::EachLine, level);
    panic::set_hook(Box::new(|defect| log::error!("a defect: {defect}")));
    log::info!("init {} begins", env!("CARGO_PKG_VERSION"));
    problems.into_iter().chain(opened.err()).for_each(|problem| log::error!("{problem}"));
    for options::Wrong { name, value, expected } in &options.wrong {
        let value = clean(value.as_encoded_bytes());
        log::warn!("{name}={value}: {expected} is expected; it is passed over");
    }
    for word in &options.unknown {
        log::debug!("passed over: {}", clean(word.as_encoded_bytes()));
    }
    options
}

/// Process 1 of a machine.
struct Init {
    options: Options,
    watch: Watch,
    keeper: Keeper,
    /// The emergency shell, while there is one.
    shell: Option<u32>,
    /// What follows the shell, when it is not the boot.
    after_shell: Option<Power>,
}

impl Init {
    fn new(options: Options) -> Self {
        let keeper = Keeper::new(&options);
        Self { options, watch: Watch::new(), keeper, shell: None, after_shell: None }
    }

    /// Does something that must not end this process, whatever happens in it. Gives whether it was
    /// done to its end.
    fn guarded(&mut self, work: fn(&mut Self)) -> bool {
        let done = panic::catch_unwind(AssertUnwindSafe(|| work(self)));
        if done.is_err() {
            log::error!("a defect in init (see above); it goes on");
        }
        done.is_ok()
    }

    fn boot(&mut self) {
        if let Err(error) = machine::signal_on_ctrl_alt_del()
            && !machine::is_container()
        {
            log::warn!("{error}; those keys restart the machine on the spot");
        }
        setup::set_hostname(&self.options.hostname_file);
        if let Err(error) = machine::raise_loopback() {
            log::warn!("{error}");
        }
        match file_systems::bring_up(&self.options, &mut self.watch) {
            Root::Ready => {}
            Root::Restart => self.watch.asked = Some(Power::Reboot),
            Root::Damaged => {
                log::error!("/ stays read-only, and must be repaired by hand");
                self.after_shell = Some(Power::Reboot);
                self.open_shell();
                return;
            }
        }
        if self.options.emergency {
            self.open_shell();
        }
    }

    /// Turns for ever.
    fn run(&mut self) -> ! {
        loop {
            if let Some(power) = self.watch.asked {
                self.guarded(Self::go_down);
                end_machine(power);
            }
            if !self.guarded(Self::turn) {
                // The same defect may come at once again.
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }

    /// One turn: the dead, orders, what is due; then it waits.
    fn turn(&mut self) {
        let mut ended = Vec::new();
        let ours = [self.keeper.pid(), self.shell];
        let more_dead = bury_dead(|pid, status| {
            if ours.contains(&Some(pid)) {
                ended.push((pid, status));
            }
        });
        ended.into_iter().for_each(|(pid, status)| self.take_end(pid, status));
        if self.watch.asked.is_some() {
            return;
        }
        if std::mem::take(&mut self.watch.reread) {
            self.keeper.signal(Signal::SIGHUP);
        }
        if self.shell.is_none() {
            self.keeper.tick();
            if self.keeper.is_given_up() {
                self.open_shell();
            }
        }
        let now = clock::monotonic_ms();
        let due = self.keeper.deadline().filter(|_| self.shell.is_none());
        let due = if more_dead { Some(now) } else { due };
        self.watch.wait(due.map(|at| at.saturating_sub(now)));
    }

    fn take_end(&mut self, pid: u32, status: ExitStatus) {
        if self.shell == Some(pid) {
            log::info!("the emergency shell {}", keep::ended_how(status));
            self.shell = None;
            match self.after_shell {
                Some(power) => self.watch.asked = Some(power),
                None => self.keeper.try_again(clock::monotonic_ms() + AFTER_SHELL),
            }
            return;
        }
        let asked = match status {
            ExitStatus::Code(code) => Power::from_exit_status(code),
            ExitStatus::Signal { .. } => None,
        };
        match asked {
            Some(power) => {
                self.keeper.has_gone_down();
                self.watch.asked = Some(power);
            }
            None => self.keeper.ended(status),
        }
    }

    fn open_shell(&mut self) {
        let then = match self.after_shell {
            Some(_) => "the machine is restarted",
            None => "the boot goes on",
        };
        self.shell = emergency::open(self.options.console.as_deref(), then);
        if self.shell.is_none() {
            self.keeper.try_again(clock::monotonic_ms() + AFTER_SHELL);
        }
    }

    fn go_down(&mut self) {
        let Some(power) = self.watch.asked else {
            return;
        };
        // Interactive shells ignore SIGTERM.
        if let Some(pid) = self.shell.and_then(|pid| i32::try_from(pid).ok()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGHUP);
        }
        Shutdown::new(power, &self.options, &mut self.watch, &mut self.keeper).run();
    }
}
