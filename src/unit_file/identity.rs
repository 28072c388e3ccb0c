//! Users and groups. They are looked up at each start, not here; but what can be no name is
//! refused here, because a bad user must never end up as root.

use super::diagnostic::{Wrong, quoted};

pub(super) const USER: &str = "a user name or number, or user:group";
pub(super) const GROUP: &str = "a group name or number";

/// The value of `user`: who, and the group behind a colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub user: String,
    pub group: Option<String>,
}

pub(super) fn user(text: &str) -> Result<Identity, Wrong> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(name(group)?)),
        None => (text, None),
    };
    Ok(Identity { user: name(user)?, group })
}

/// A name that useradd(8) could have made, or a number that chown(2) would not read as "leave it".
pub(super) fn name(text: &str) -> Result<String, Wrong> {
    let wrong = |why: &str| Err(Wrong::new(format!("{} {why}", quoted(text))));
    let first = text.chars().next();
    match first {
        None => return Err(Wrong::new("an empty name")),
        Some('0'..='9') if text.bytes().all(|b| b.is_ascii_digit()) => {
            return match text.parse::<u32>() {
                Ok(u32::MAX) | Err(_) => wrong("is no id; the largest is 4294967294"),
                Ok(_) if text.len() > 1 && text.starts_with('0') => {
                    wrong("starts with 0 like an octal number")
                }
                Ok(_) => Ok(text.to_owned()),
            };
        }
        Some('0'..='9') => return wrong("starts with a digit and is no number"),
        Some('-') => return wrong("is neither a name nor an id"),
        Some(_) => {}
    }
    // Samba's machine accounts end in a dollar sign.
    let body = text.strip_suffix('$').unwrap_or(text);
    let start = |c: char| c.is_ascii_alphabetic() || c == '_';
    if body.len() > 255 || !body.starts_with(start) {
        return wrong("cannot be a name");
    }
    if !body.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return wrong("cannot be a name");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Identity, user};

    #[test]
    fn users_and_groups_are_names_or_ids() {
        for (text, name, group) in [
            ("nobody", "nobody", None),
            ("www-data", "www-data", None),
            ("_apt", "_apt", None),
            ("0", "0", None),
            ("1000", "1000", None),
            ("4294967294", "4294967294", None),
            ("machine$", "machine$", None),
            ("nobody:nogroup", "nobody", Some("nogroup")),
            ("1000:100", "1000", Some("100")),
        ] {
            let expected = Identity { user: name.to_owned(), group: group.map(str::to_owned) };
            assert_eq!(user(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_could_be_mistaken_for_root_is_refused() {
        for text in [
            "",
            ":",
            "0day",
            "00",
            "007",
            "-1",
            "+0",
            "4294967295",
            "4294967296",
            "1e3",
            "0x0",
            "99999999999999999999",
            "a b",
            "nobody:",
            ":nogroup",
            "a:b:c",
            "root\n",
            "röot",
            "a/b",
            "-x",
            "~",
            "$",
            "1.0",
            "٠",
        ] {
            assert!(user(text).is_err(), "{text:?} gave {:?}", user(text));
        }
    }
}
