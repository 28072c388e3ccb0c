//! Where the guest lives in the cgroup tree, and where run-on-pid-ns does.

use std::time::Duration;

use super::{Failure, say};
use crate::kernel::Error;
use crate::kernel::leaf::Leaf;

/// How long what was killed may take to go.
const CLEARING: Duration = Duration::from_secs(5);

/// The cgroups of one run.
#[derive(Debug)]
pub struct Place {
    /// `None` where there is no cgroup to be had: then the guest stays in ours.
    leaf: Option<Leaf>,
    /// Where we came from, when the leaf is one that we made ourselves.
    home: Option<Leaf>,
}

impl Place {
    /// Takes the cgroup that this process was given, when it is alone in it; otherwise makes one.
    /// Says what is missing when there is none to be had.
    pub fn take() -> Self {
        match Self::try_take() {
            Ok(place) => place,
            Err(error) => {
                say(&format!(
                    "{error}: the guest shares our cgroup; what it leaves behind is not found, and \
                     a systemd in it has no cgroups of its own"
                ));
                Self { leaf: None, home: None }
            }
        }
    }

    fn try_take() -> Result<Self, Error> {
        let own = Leaf::own()?;
        let place = if own.is_mine_alone() {
            Self { leaf: Some(own), home: None }
        } else {
            Self { leaf: Some(make_leaf(&own)?), home: Some(own) }
        };
        if let Some(leaf) = &place.leaf {
            let supervise = leaf.below("supervise");
            supervise.make()?;
            supervise.entrance()?.enter()?;
            // None is fine: the guest is found and killed without.
            let _ = leaf.hand_down_controllers();
        }
        Ok(place)
    }

    fn payload(&self) -> Option<Leaf> {
        self.leaf.as_ref().map(|leaf| leaf.below("payload"))
    }

    /// An empty cgroup for the guest. The one of its last start cannot be used again: a systemd
    /// leaves controllers handed down in it (EBUSY for the next to enter), and since Linux 6.14
    /// a group that was killed kills who is born in it.
    pub fn fresh_payload(&self) -> Result<Option<Leaf>, Failure> {
        let Some(payload) = self.payload() else { return Ok(None) };
        payload.clear(CLEARING)?;
        payload.make()?;
        Ok(Some(payload))
    }

    /// Kills and removes whatever the guest has left.
    pub fn clear_payload(&self) {
        if let Some(Err(error)) = self.payload().map(|payload| payload.clear(CLEARING)) {
            say(&format!("{error}: left as it is"));
        }
    }
}

/// A group of our own below the one we are in, or beside it where that is not allowed.
fn make_leaf(own: &Leaf) -> Result<Leaf, Error> {
    let name = format!("run-on-pid-ns-{}", std::process::id());
    let below = own.below(&name);
    let refused = match below.make() {
        Ok(()) => return Ok(below),
        Err(error) => error,
    };
    let beside = own.above().map(|above| above.below(&name)).ok_or(refused)?;
    beside.make().map(|()| beside)
}

impl Drop for Place {
    /// Goes back home and removes what was made. In a leaf that was given, all stays as it is:
    /// who gave it removes it.
    fn drop(&mut self) {
        let (Some(leaf), Some(home)) = (&self.leaf, &self.home) else { return };
        let gone =
            home.entrance().and_then(|home| home.enter()).and_then(|()| leaf.clear(CLEARING));
        if let Err(error) = gone {
            say(&format!("{error}: left as it is"));
        }
    }
}
