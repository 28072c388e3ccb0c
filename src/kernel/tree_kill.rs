//! Signals to the processes of a leaf, and its end.

use std::time::{Duration, Instant};

use cgroups_rs::freezer::FreezerController;
use nix::errno::Errno;

use super::cgroup::write;
use super::leaf::Leaf;
use super::{Error, pidfd};

/// How long [`Leaf::kill_by_freezing`] may take altogether, and one freeze of it.
const KILL_BOUND: Duration = Duration::from_secs(2);
const FREEZE_BOUND: Duration = Duration::from_millis(500);

impl Leaf {
    /// Sends a signal to one process if it is in the leaf or below it. The number cannot have
    /// gone over to a stranger between the look and the signal: a pidfd holds the process.
    /// Gives false when it is gone or not a member.
    ///
    /// # Errors
    /// When the kernel refuses the signal.
    pub fn signal_member(&self, pid: u32, signal: i32) -> Result<bool, Error> {
        self.send(pid, None, &[signal])
    }

    /// Sends signals to one process, one look for all of them. `group` is the cgroup of the leaf
    /// that it was listed in, by its inode, if it was.
    fn send(&self, pid: u32, group: Option<u64>, signals: &[i32]) -> Result<bool, Error> {
        let Some(process) = pidfd::open(pid)? else { return Ok(false) };
        // The kernel tells the cgroup of a pidfd since Linux 6.13, in one call instead of three.
        let is_there = group.is_some() && pidfd::cgroup_id_of(&process) == group;
        if !is_there && !self.contains(pid) {
            return Ok(false);
        }
        for signal in signals {
            let sent = pidfd::send_signal(&process, *signal)
                .map_err(|errno| Error::new("signal", format!("process {pid}"), errno))?;
            if !sent {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends a signal to every process that the leaf has now and gives how many took it. One pass:
    /// what is forked meanwhile may be missed. With `wake`, each also gets SIGCONT, so that
    /// a stopped process acts on a request to end.
    ///
    /// # Errors
    /// The first refusal, after every process was tried.
    pub fn signal_all(&self, signal: i32, wake: bool) -> Result<usize, Error> {
        let mut taken = 0;
        let mut refusal = None;
        let both = [signal, libc::SIGCONT];
        let signals = if wake { &both[..] } else { &both[..1] };
        self.each_group(|group, pids| {
            for pid in pids {
                match self.send(pid, Some(group), signals) {
                    Ok(taken_by_it) => taken += usize::from(taken_by_it),
                    Err(error) if refusal.is_none() => refusal = Some(error),
                    Err(_) => {}
                }
            }
        })?;
        refusal.map_or(Ok(taken), Err)
    }

    /// Whether the kernel can kill the leaf at once (`cgroup.kill`, Linux 5.14). Where it cannot,
    /// [`Leaf::kill`] blocks.
    #[must_use]
    pub fn has_kill(&self) -> bool {
        self.path().join("cgroup.kill").exists()
    }

    /// Kills every process of the leaf and below it at once (`cgroup.kill`, Linux 5.14), or by
    /// freezing where there is no such file. The processes are gone when [`Leaf::populated`] says
    /// so, not yet when this returns. A leaf that has vanished has nothing to kill.
    ///
    /// Nothing may be started in this leaf afterwards: since Linux 6.14 it would be killed at
    /// birth.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> Result<(), Error> {
        match write(&self.path().join("cgroup.kill"), "1") {
            Err(error) if super::is_gone(error.errno()) && !self.path().exists() => Ok(()),
            Err(error) if error.errno() == Errno::ENOENT => self.kill_by_freezing(),
            other => other,
        }
    }

    /// Kills every process of the leaf and below it for kernels before 5.14: freeze it so that
    /// nothing can fork any more, send SIGKILL to each process, thaw, and again until none is
    /// left. Blocks for 2 seconds at most.
    ///
    /// # Errors
    /// ETIMEDOUT when processes are left (in uninterruptible sleep), or the kernel's refusal.
    pub fn kill_by_freezing(&self) -> Result<(), Error> {
        let freezer = FreezerController::new(self.path().to_owned(), true);
        let deadline = Instant::now() + KILL_BOUND;
        while self.populated()? {
            // Freezing and thawing of a leaf that vanishes meanwhile fails, and may. A freeze that
            // does not settle in time is no reason not to kill: the next round takes the rest.
            let _ = freezer.freeze();
            self.wait_until(Instant::now() + FREEZE_BOUND, || self.event("frozen"))?;
            let killed = self.signal_all(libc::SIGKILL, false);
            let _ = freezer.thaw();
            killed?;
            if !self.wait_until(deadline.min(Instant::now() + FREEZE_BOUND), || {
                self.populated().map(|populated| !populated)
            })? && Instant::now() >= deadline
            {
                return Err(Error::at("kill all of", self.path(), Errno::ETIMEDOUT));
            }
        }
        Ok(())
    }

    /// Looks every millisecond until it is true (then gives true) or the deadline has passed.
    fn wait_until(
        &self,
        deadline: Instant,
        look: impl Fn() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        loop {
            if look()? {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
