//! The user that the workload runs as. It is read from /etc/passwd and /etc/group directly, since a static program has no name
//! service (nsswitch.conf(5) loads shared objects), and the switch to it just before the workload starts is irrevocable. A switch
//! that fails half-way stops the boot.

use std::ffi::OsString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Uid, getegid, geteuid, getgroups, getresgid, getresuid, setegid, seteuid, setgroups, setresgid,
    setresuid,
};

use super::machine::Files;

/// More than any hand-written passwd(5); accounts of a directory service are not in these files.
const MAX_FILE: usize = 4 << 20;

/// `USER[:GROUP]` as written; each is a name or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserSpec {
    user: String,
    group: Option<String>,
}

impl UserSpec {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let valid = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if valid(user) && group.is_none_or(valid) {
            Ok(Self { user: user.to_owned(), group: group.map(str::to_owned) })
        } else {
            Err("write USER or USER:GROUP, each a name or a number")
        }
    }
}

/// A user with its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// The supplementary groups, in no particular order, with `gid` among them.
    pub(crate) groups: Vec<Gid>,
    /// The home folder, if /etc/passwd has the user.
    pub(crate) home: Option<OsString>,
}

/// Why the workload cannot run as that user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("there is no user {0} in /etc/passwd")]
    NoUser(String),
    #[error("there is no group {0} in /etc/group")]
    NoGroup(String),
    /// A number that is not in /etc/passwd, without a group.
    #[error("the user {0} is not in /etc/passwd, so its group is unknown")]
    GroupUnknown(String),
    /// The kernel refused a step of the switch.
    #[error("{step} failed: {}", errno.desc())]
    Refused { step: &'static str, errno: Errno },
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

/// The account that `spec` names on this machine. If `spec` has a group, the account has no supplementary groups, as with Docker's
/// `--user` and gosu; otherwise it has every group that lists the user.
pub(crate) fn find(spec: &UserSpec, files: &dyn Files) -> Result<Account, AccountError> {
    // A file that cannot be read has no accounts. Numbers still work, which is all that a container from scratch has.
    let read = |path: &str| files.text(Path::new(path), MAX_FILE).map(|text| text.text).unwrap_or_default();
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    let user = users(&passwd).find(|user| user.is(&spec.user));
    let uid = user.as_ref().map(|user| user.uid).or_else(|| number(&spec.user));
    let uid = uid.ok_or_else(|| AccountError::NoUser(spec.user.clone()))?;
    let gid = match (&spec.group, &user) {
        (Some(name), _) => find_gid(&group, name).ok_or_else(|| AccountError::NoGroup(name.clone()))?,
        (None, Some(user)) => user.gid,
        (None, None) => return Err(AccountError::GroupUnknown(spec.user.clone())),
    };
    // As initgroups(3), which adds the user's own group to the list.
    let mut groups = vec![gid];
    if let (None, Some(user)) = (&spec.group, &user) {
        groups.extend(groups_of_user(&group, user.name).filter(|also| *also != gid));
    }
    Ok(Account {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(gid),
        groups: groups.into_iter().map(Gid::from_raw).collect(),
        home: user.filter(|user| !user.home.is_empty()).map(|user| user.home.into()),
    })
}

/// The group with this name or number.
pub(crate) fn group(name: &str, files: &dyn Files) -> Result<Gid, AccountError> {
    let text = files.text(Path::new("/etc/group"), MAX_FILE).map(|text| text.text).unwrap_or_default();
    find_gid(&text, name).map(Gid::from_raw).ok_or_else(|| AccountError::NoGroup(name.to_owned()))
}

impl Account {
    /// Checks whether this process may become this user.
    pub(crate) fn check(&self) -> Result<(), AccountError> {
        if self.is_current() {
            return Ok(());
        }
        // The groups that the process has already: this changes nothing, and needs the right that a switch needs
        // (setgroups(2)).
        let groups = getgroups().unwrap_or_default();
        let step = "setting the supplementary groups";
        setgroups(&groups).map_err(|errno| AccountError::Refused { step, errno })
    }

    /// Becomes this user irrevocably: real, effective and saved ids. A process that is this user already needs no privilege.
    pub(crate) fn switch(&self) -> Result<(), AccountError> {
        if self.is_current() {
            return Ok(());
        }
        // In this order: only root may set groups, and after setresuid(2) this process is root no more.
        let refused = |step| move |errno| AccountError::Refused { step, errno };
        setgroups(&self.groups).map_err(refused("setting the supplementary groups"))?;
        setresgid(self.gid, self.gid, self.gid).map_err(refused("setting the group"))?;
        setresuid(self.uid, self.uid, self.uid).map_err(refused("setting the user"))?;
        // Checked again: a workload that runs as root by mistake is worse than one that does not start.
        if self.is_current() { Ok(()) } else { Err(refused("changing the user")(Errno::EPERM)) }
    }

    /// Calls `act` with the rights of this user: effective ids and groups, which the kernel checks when a file is used. Real and saved
    /// ids stay, so that the process becomes itself again.
    pub(crate) fn act_as<T>(&self, act: impl FnOnce() -> T) -> Result<T, AccountError> {
        if self.is_current() {
            return Ok(act());
        }
        let refused = |step| move |errno| AccountError::Refused { step, errno };
        let (uid, gid, groups) = (geteuid(), getegid(), getgroups().map_err(refused("reading the groups"))?);
        setgroups(&self.groups).map_err(refused("acting as the user"))?;
        // In this order: as another user, this process may not set its group.
        let acted = setegid(self.gid).and_then(|()| seteuid(self.uid)).map(|()| act());
        // Whatever happened: with half of another user's rights, nothing may go on.
        let back = seteuid(uid).and_then(|()| setegid(gid)).and_then(|()| setgroups(&groups));
        back.map_err(refused("becoming itself again"))?;
        acted.map_err(refused("acting as the user"))
    }

    fn is_current(&self) -> bool {
        let (Ok(users), Ok(groups), Ok(mut also)) = (getresuid(), getresgid(), getgroups()) else {
            return false;
        };
        let mut expected = self.groups.clone();
        let sort = |list: &mut Vec<Gid>| {
            list.sort_by_key(|gid| gid.as_raw());
            list.dedup();
        };
        // getgroups(2) may list the group itself or not; it makes no difference to access.
        also.push(self.gid);
        sort(&mut also);
        sort(&mut expected);
        let user = [users.real, users.effective, users.saved].iter().all(|uid| *uid == self.uid);
        user && [groups.real, groups.effective, groups.saved].iter().all(|gid| *gid == self.gid)
            && also == expected
    }
}

/// A line of passwd(5).
struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl PasswdEntry<'_> {
    /// Whether `spec` is this user's name or number.
    fn is(&self, spec: &str) -> bool {
        self.name == spec || number(spec) == Some(self.uid)
    }
}

fn users(passwd: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or("");
        Some(PasswdEntry { name, uid: number(uid)?, gid: number(gid)?, home })
    })
}

/// The name, number and members in each line of group(5).
fn group_lines(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, number(gid)?, fields.next().unwrap_or("")))
    })
}

/// The number of the group with that name, or the number itself.
fn find_gid(group: &str, name: &str) -> Option<u32> {
    group_lines(group).find(|(known, ..)| *known == name).map(|(_, gid, _)| gid).or_else(|| number(name))
}

fn groups_of_user<'a>(group: &'a str, user: &'a str) -> impl Iterator<Item = u32> + 'a {
    group_lines(group)
        .filter(move |(.., members)| members.split(',').any(|m| m == user))
        .map(|(_, gid, _)| gid)
}

fn number(text: &str) -> Option<u32> {
    // -1 tells setresuid(2) and chown(2) to leave an id unchanged, so it names nobody. `parse` would accept a sign.
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
        let account = find(&UserSpec::parse(text).unwrap(), &files())?;
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
        let home = find(&UserSpec::parse("app").unwrap(), &files()).unwrap().home;
        assert_eq!(home, Some("/srv/app".into()));
    }

    #[test]
    fn an_unknown_name_is_an_error_and_never_root() {
        assert_eq!(found("bob"), Err(AccountError::NoUser("bob".into())));
        assert_eq!(found("app:nope"), Err(AccountError::NoGroup("nope".into())));
        assert_eq!(found("4000"), Err(AccountError::GroupUnknown("4000".into())));
        assert_eq!(found("4294967295:0"), Err(AccountError::NoUser("4294967295".into())));
        assert_eq!(found("+5:0"), Err(AccountError::NoUser("+5".into())));
        for text in ["", ":", "a:", ":b", "a:b:c", "a b", "é"] {
            assert!(UserSpec::parse(text).is_err(), "{text}");
        }
        let nowhere = FakeFiles::default();
        assert_eq!(
            find(&UserSpec::parse("0:0").unwrap(), &nowhere).map(|account| account.uid.as_raw()),
            Ok(0)
        );
    }
}
