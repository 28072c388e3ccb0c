//! Paths that start units: looked at whenever something happens near them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use super::{Launcher, Token};
use crate::kernel::path_watch::{self, Interest, PathWatch, Print, Watched};
use crate::kernel::poll::Poll;
use crate::supervision::Moment;
use crate::supervision::activation::{Guard, PathCondition, PathTrigger, Trigger};
use crate::supervision::name::UnitName;
use crate::supervision::status::PathStatus;
use crate::supervision::unit::{Millis, Unit};

/// How long nobody looks after a wake-up, in milliseconds, so that a directory in which much
/// happens costs little.
const PAUSE: Millis = 100;

/// The paths of one unit.
#[derive(Debug)]
struct Post {
    paths: Vec<PathTrigger>,
    /// How they were when the unit was last started, or armed.
    before: Vec<Option<Print>>,
    watched: Option<Watched>,
}

impl Post {
    fn new(paths: &[PathTrigger]) -> Self {
        let mut post = Self { paths: paths.to_vec(), before: Vec::new(), watched: None };
        post.take_note();
        post
    }

    /// From now on a change is one against how it is now.
    fn take_note(&mut self) {
        self.before = self.paths.iter().map(|it| path_watch::look(&it.path)).collect();
    }

    /// The first path about which is so what the unit waits for.
    fn that_holds(&self) -> Option<&PathTrigger> {
        let mut all = self.paths.iter().zip(&self.before);
        let holds = |(it, before): &(&PathTrigger, &Option<Print>)| match it.condition {
            PathCondition::Exists => path_watch::look(&it.path).is_some(),
            PathCondition::Changed | PathCondition::Modified => {
                path_watch::look(&it.path) != **before
            }
            PathCondition::DirectoryNotEmpty => path_watch::holds_something(&it.path),
        };
        all.find(holds).map(|(it, _)| it)
    }
}

/// The paths of all units.
#[derive(Debug)]
pub struct Paths {
    watch: PathWatch,
    posts: BTreeMap<UnitName, Post>,
    /// When somebody looks again.
    pause: Option<Moment>,
}

impl Paths {
    /// Nothing is watched yet.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new() -> Result<Self, crate::kernel::Error> {
        Ok(Self { watch: PathWatch::new()?, posts: BTreeMap::new(), pause: None })
    }

    /// When [`Launcher::take_paths`] will do something.
    pub const fn deadline(&self) -> Option<Moment> {
        self.pause
    }

    fn unwatch(&mut self, name: &UnitName) {
        let watched = self.posts.get_mut(name).and_then(|post| post.watched.take());
        watched.into_iter().for_each(|watched| self.watch.unwatch(watched));
    }

    /// Watches a unit's paths as they are now, in the place of how they were.
    fn watch_again(&mut self, name: &UnitName) -> Result<(), crate::kernel::Error> {
        let Some(post) = self.posts.get_mut(name) else { return Ok(()) };
        let wanted = post.paths.iter().map(|it| {
            let interest = match it.condition {
                PathCondition::Modified => Interest::EachWrite,
                PathCondition::Exists
                | PathCondition::Changed
                | PathCondition::DirectoryNotEmpty => Interest::Settled,
            };
            (it.path.as_path(), interest)
        });
        let new = self.watch.watch(wanted)?;
        post.watched.replace(new).into_iter().for_each(|old| self.watch.unwatch(old));
        Ok(())
    }

    /// Lets wake-ups wait for a moment.
    fn rest(&mut self, poll: &Poll, now: Moment) {
        poll.remove(&self.watch);
        self.pause = Some(now + PAUSE);
    }
}

impl AsFd for Paths {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

impl Launcher {
    /// Brings the watch of a unit's paths to a level.
    ///
    /// # Errors
    /// Why they cannot be watched.
    pub(super) fn set_paths(
        &mut self,
        unit: &Unit,
        guard: Guard,
        now: Moment,
    ) -> Result<(), String> {
        let name = &unit.name;
        let wanted = unit.activation.as_deref().map(|it| it.paths.as_slice()).unwrap_or_default();
        self.paths.unwatch(name);
        if wanted.is_empty() || guard == Guard::Off {
            self.paths.posts.remove(name);
            return Ok(());
        }
        let is_same = self.paths.posts.get(name).is_some_and(|post| post.paths == wanted);
        if !is_same {
            self.paths.posts.insert(name.clone(), Post::new(wanted));
        }
        if guard == Guard::Held {
            self.paths.posts.get_mut(name).into_iter().for_each(Post::take_note);
            return Ok(());
        }
        // First the watch and then the look, so that nothing happens in between unseen.
        self.paths.watch_again(name).map_err(|error| error.to_string())?;
        self.look_at_paths(name, Trigger::Standing, now);
        Ok(())
    }

    /// Starts a unit if what it waits for is so.
    fn look_at_paths(&mut self, name: &UnitName, trigger: Trigger, now: Moment) {
        let Some(found) = self.paths.posts.get(name).and_then(Post::that_holds) else { return };
        let by = format!("{} {}", found.path.display(), found.condition.words());
        log::info!("{name}: {by}: it is started");
        self.paths.unwatch(name);
        self.trigger(name, trigger, &by, now);
    }

    /// Looks at the paths near which something has happened, unless that was done just now.
    pub(super) fn take_paths(&mut self, woken: bool, now: Moment) {
        match self.paths.pause {
            Some(until) if until > now => return,
            Some(_) => {
                self.paths.pause = None;
                if let Err(error) = self.poll.add(&self.paths, Token::Paths.number()) {
                    log::error!("{error}");
                }
            }
            None if !woken => return,
            None => {}
        }
        let drained = self.paths.watch.drain();
        let concerned: Vec<UnitName> = self
            .paths
            .posts
            .iter()
            .filter(|(_, post)| post.watched.as_ref().is_some_and(|it| drained.concerns(it)))
            .map(|(name, _)| name.clone())
            .collect();
        if concerned.is_empty() {
            return;
        }
        self.paths.rest(&self.poll, now);
        for name in concerned {
            // A directory on the way may be another one by now.
            if let Err(error) = self.paths.watch_again(&name) {
                self.paths.unwatch(&name);
                log::error!("{name}: {error}");
                self.supervisor.cannot_arm(&name, error.to_string(), now);
                continue;
            }
            self.look_at_paths(&name, Trigger::Fresh, now);
        }
    }

    /// What a unit waits for at its paths, in words.
    pub(super) fn waits_for_paths(&self, name: &UnitName) -> Option<String> {
        let post = self.paths.posts.get(name)?;
        let shown: Vec<String> = post.paths.iter().map(ToString::to_string).collect();
        Some(format!("waits until {}", shown.join(", or ")))
    }

    /// Every path there is.
    pub(super) fn path_statuses(&self) -> Vec<PathStatus> {
        let mut all = Vec::new();
        for (name, service) in self.supervisor.services() {
            let Some(activation) = service.unit().activation.as_deref() else { continue };
            let post = self.paths.posts.get(name);
            let watched = post.is_some_and(|post| post.watched.is_some());
            all.extend(activation.paths.iter().map(|it| PathStatus {
                unit: name.to_string(),
                path: it.path.display().to_string(),
                condition: it.condition.word().to_owned(),
                watched,
                state: service.word(),
            }));
        }
        all
    }
}
