//! The user that the workload runs as: read from /etc/passwd and /etc/group themselves, for a static program has no name service,
//! and taken on for good just before the workload starts. Never half-way: any call that fails stops the boot.

use std::ffi::OsString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid};

use super::machine::Files;

/// Enough for any machine; a name service's accounts are not in these files.
const MAX_FILE: usize = 4 << 20;

/// `USER[:GROUP]`, each a name or a number, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    user: String,
    group: Option<String>,
}

impl Wish {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with the form.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let good = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if good(user) && group.is_none_or(good) {
            Ok(Self { user: user.to_owned(), group: group.map(str::to_owned) })
        } else {
            Err("write USER or USER:GROUP, each a name or a number")
        }
    }
}

/// A user with the groups that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// The user.
    pub(crate) uid: Uid,
    /// Its group.
    pub(crate) gid: Gid,
    /// Supplementary groups; the kernel takes them in any order.
    pub(crate) groups: Vec<Gid>,
    /// Its home, when /etc/passwd knows the user.
    pub(crate) home: Option<OsString>,
}

/// Why the workload cannot run as that user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccountError {
    /// No such user.
    #[error("there is no user {0} in /etc/passwd")]
    NoUser(String),
    /// No such group.
    #[error("there is no group {0} in /etc/group")]
    NoGroup(String),
    /// A number that no line of /etc/passwd gives a group.
    #[error("the user {0} is not in /etc/passwd, so its group is not known")]
    GroupUnknown(String),
    /// The kernel says no.
    #[error("{step} is refused: {}", errno.desc())]
    Refused {
        /// Which call.
        step: &'static str,
        /// What the kernel says.
        errno: Errno,
    },
}

impl AccountError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoUser(_) | Self::NoGroup(_) => Some("create it in the image, or give its number"),
            Self::GroupUnknown(_) => Some("give the group as well: --user USER:GROUP"),
            Self::Refused { .. } => Some("start the agent as root, with CAP_SETUID and CAP_SETGID"),
        }
    }
}

/// The account that `wish` means on this machine. With a group of its own it has no supplementary ones, as with Docker's
/// `--user` and gosu; else it has every group that lists the user.
///
/// # Errors
/// A name or its group is not known.
pub(crate) fn find(wish: &Wish, files: &dyn Files) -> Result<Account, AccountError> {
    let read = |path: &str| files.text(Path::new(path), MAX_FILE).map(|text| text.text).unwrap_or_default();
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    let user = users(&passwd).find(|user| user.is(&wish.user));
    let uid = user.as_ref().map(|user| user.uid).or_else(|| number(&wish.user));
    let uid = uid.ok_or_else(|| AccountError::NoUser(wish.user.clone()))?;
    let gid = match (&wish.group, &user) {
        (Some(name), _) => gid_of(&group, name).ok_or_else(|| AccountError::NoGroup(name.clone()))?,
        (None, Some(user)) => user.gid,
        (None, None) => return Err(AccountError::GroupUnknown(wish.user.clone())),
    };
    let mut groups = vec![gid];
    if let (None, Some(user)) = (&wish.group, &user) {
        groups.extend(groups_with(&group, user.name).filter(|also| *also != gid));
    }
    Ok(Account {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(gid),
        groups: groups.into_iter().map(Gid::from_raw).collect(),
        home: user.filter(|user| !user.home.is_empty()).map(|user| user.home.into()),
    })
}

/// The group of that name or number.
///
/// # Errors
/// There is none.
pub(crate) fn group(name: &str, files: &dyn Files) -> Result<Gid, AccountError> {
    let text = files.text(Path::new("/etc/group"), MAX_FILE).map(|text| text.text).unwrap_or_default();
    gid_of(&text, name).map(Gid::from_raw).ok_or_else(|| AccountError::NoGroup(name.to_owned()))
}

impl Account {
    /// Becomes this user, with no way back: real, effective and saved ids, supplementary groups first, for only root may set
    /// them. Whoever is this user already needs no right.
    ///
    /// # Errors
    /// The kernel says no, or did not do what it said.
    pub(crate) fn take_on(&self) -> Result<(), AccountError> {
        if self.is_taken_on() {
            return Ok(());
        }
        let refused = |step| move |errno| AccountError::Refused { step, errno };
        setgroups(&self.groups).map_err(refused("setting the supplementary groups"))?;
        setresgid(self.gid, self.gid, self.gid).map_err(refused("setting the group"))?;
        setresuid(self.uid, self.uid, self.uid).map_err(refused("setting the user"))?;
        if self.is_taken_on() { Ok(()) } else { Err(refused("changing the user")(Errno::EPERM)) }
    }

    fn is_taken_on(&self) -> bool {
        let (Ok(users), Ok(groups), Ok(mut also)) = (getresuid(), getresgid(), getgroups()) else {
            return false;
        };
        let mut wanted = self.groups.clone();
        let sort = |list: &mut Vec<Gid>| {
            list.sort_by_key(|gid| gid.as_raw());
            list.dedup();
        };
        // The group itself may be listed or not: it makes no difference.
        also.push(self.gid);
        sort(&mut also);
        sort(&mut wanted);
        let user = [users.real, users.effective, users.saved].iter().all(|uid| *uid == self.uid);
        user && [groups.real, groups.effective, groups.saved].iter().all(|gid| *gid == self.gid)
            && also == wanted
    }
}

/// A line of passwd(5).
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl User<'_> {
    /// A name that is a number means the user of that name, if there is one (POSIX, chown).
    fn is(&self, wish: &str) -> bool {
        self.name == wish || number(wish) == Some(self.uid)
    }
}

fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or("");
        Some(User { name, uid: number(uid)?, gid: number(gid)?, home })
    })
}

/// Name, number and members of the lines of group(5).
fn lines_of(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, number(gid)?, fields.next().unwrap_or("")))
    })
}

/// The number of a group of that name, or the number itself.
fn gid_of(group: &str, name: &str) -> Option<u32> {
    lines_of(group).find(|(known, ..)| *known == name).map(|(_, gid, _)| gid).or_else(|| number(name))
}

fn groups_with<'a>(group: &'a str, user: &'a str) -> impl Iterator<Item = u32> + 'a {
    lines_of(group).filter(move |(.., members)| members.split(',').any(|m| m == user)).map(|(_, gid, _)| gid)
}

/// -1 means "leave it" to the kernel's calls, so it is no id.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake::FakeFiles;
    use super::*;

    fn files() -> FakeFiles {
        FakeFiles::default()
            .with("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n\nodd\napp:x:1000:1000:App,,:/srv/app:/bin/sh\n7:x:70:70::/:\n")
            .with("/etc/group", "root:x:0:\napp:x:1000:\nvideo:x:44:bob,app\nssl:x:101:app\nweb:x:33:appx\n")
    }

    fn found(text: &str) -> Result<(u32, u32, Vec<u32>), AccountError> {
        let account = find(&Wish::parse(text).unwrap(), &files())?;
        let groups = account.groups.iter().map(|gid| gid.as_raw()).collect();
        Ok((account.uid.as_raw(), account.gid.as_raw(), groups))
    }

    #[test]
    fn names_and_numbers_are_found_with_their_groups() {
        assert_eq!(found("app"), Ok((1000, 1000, vec![1000, 44, 101])));
        assert_eq!(found("1000"), found("app"));
        assert_eq!(found("app:web"), Ok((1000, 33, vec![33])));
        assert_eq!(found("app:5"), Ok((1000, 5, vec![5])));
        assert_eq!(found("4000:4001"), Ok((4000, 4001, vec![4001])));
        assert_eq!(found("7"), Ok((70, 70, vec![70])));
        assert_eq!(found("root"), Ok((0, 0, vec![0])));
        let home = find(&Wish::parse("app").unwrap(), &files()).unwrap().home;
        assert_eq!(home, Some("/srv/app".into()));
    }

    #[test]
    fn what_is_not_known_is_an_error_and_never_root() {
        assert_eq!(found("bob"), Err(AccountError::NoUser("bob".into())));
        assert_eq!(found("app:nope"), Err(AccountError::NoGroup("nope".into())));
        assert_eq!(found("4000"), Err(AccountError::GroupUnknown("4000".into())));
        assert_eq!(found("4294967295:0"), Err(AccountError::NoUser("4294967295".into())));
        assert_eq!(found("+5:0"), Err(AccountError::NoUser("+5".into())));
        for text in ["", ":", "a:", ":b", "a:b:c", "a b", "é"] {
            assert!(Wish::parse(text).is_err(), "{text}");
        }
        let nowhere = FakeFiles::default();
        assert_eq!(find(&Wish::parse("0:0").unwrap(), &nowhere).map(|account| account.uid.as_raw()), Ok(0));
    }
}
