//! Which process of a settled leaf is the main one.

use super::Pid;

/// A process of the leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub pid: Pid,
    /// Its parent's id.
    pub parent: Pid,
    /// Its session's id.
    pub session: Pid,
}

/// Picks the main process: the only one whose parent is outside the leaf; among several of those
/// the only session leader, because a daemon calls setsid(2) and its companions do not. `None`
/// when that is ambiguous.
#[must_use]
pub fn pick(members: &[Member]) -> Option<Pid> {
    let inside = |pid| members.iter().any(|member| member.pid == pid);
    let tops: Vec<&Member> = members.iter().filter(|member| !inside(member.parent)).collect();
    let leads = |member: &&&Member| member.session == member.pid;
    match (tops.as_slice(), tops.iter().filter(leads).collect::<Vec<_>>().as_slice()) {
        ([only], _) => Some(only.pid),
        (_, [only]) => Some(only.pid),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Member, pick};

    const fn member(pid: u32, parent: u32, session: u32) -> Member {
        Member { pid, parent, session }
    }

    #[test]
    fn a_master_with_workers_is_the_one_without_a_parent_inside() {
        assert_eq!(pick(&[member(11, 10, 10), member(10, 1, 10), member(12, 10, 10)]), Some(10));
    }

    #[test]
    fn among_several_at_the_top_the_only_session_leader_is_taken() {
        assert_eq!(pick(&[member(10, 1, 10), member(11, 1, 5)]), Some(10));
    }

    #[test]
    fn workers_whose_master_died_have_no_main_process() {
        assert_eq!(pick(&[member(11, 1, 10), member(12, 1, 10)]), None);
        assert_eq!(pick(&[member(11, 1, 11), member(12, 1, 12)]), None);
    }

    #[test]
    fn an_empty_leaf_has_none() {
        assert_eq!(pick(&[]), None);
    }
}
