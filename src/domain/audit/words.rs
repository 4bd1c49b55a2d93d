//! The fixed words of the trail: what was done, and what a detail is about. Stored as text, so never change one.

use crate::domain::text;

text::text_enum! {
    /// What was done.
    pub enum AuditAction, "an action of the audit trail" {
        /// The store was made.
        StoreInit = "store.init",
        /// A server opened the store and began its chain.
        StoreStart = "store.start",
        /// A server closed the store and ended its chain.
        StoreStop = "store.stop",
        /// The store was unlocked.
        StoreUnlock = "store.unlock",
        /// The store was locked.
        StoreLock = "store.lock",
        /// The state of the store was asked for.
        StoreRead = "store.read",
        /// A backup was taken.
        StoreBackup = "store.backup",
        /// A re-encryption of everything began.
        ReEncryptStart = "re_encrypt.start",
        /// A re-encryption of everything ended and the old generation was dropped.
        ReEncryptFinish = "re_encrypt.finish",
        /// A key slot was added.
        KeyslotAdd = "keyslot.add",
        /// A key slot was removed.
        KeyslotRemove = "keyslot.remove",
        /// Key slots were listed.
        KeyslotList = "keyslot.list",
        /// An organization was made.
        OrgCreate = "org.create",
        /// Organizations were listed.
        OrgList = "org.list",
        /// An organization's settings were changed.
        OrgEdit = "org.edit",
        /// A member was added.
        MemberCreate = "member.create",
        /// A member was changed.
        MemberEdit = "member.edit",
        /// A member was removed.
        MemberDelete = "member.delete",
        /// Members were listed.
        MemberList = "member.list",
        /// A token was made.
        TokenCreate = "token.create",
        /// A token was revoked.
        TokenRevoke = "token.revoke",
        /// Tokens were listed.
        TokenList = "token.list",
        /// A ticket was made.
        TicketCreate = "ticket.create",
        /// A ticket was revoked.
        TicketRevoke = "ticket.revoke",
        /// Tickets were listed.
        TicketList = "ticket.list",
        /// A secret was deposited for the first time.
        SecretCreate = "secret.create",
        /// A secret's value was replaced.
        SecretReplace = "secret.replace",
        /// A secret's metadata were changed.
        SecretEdit = "secret.edit",
        /// A secret was deleted.
        SecretDelete = "secret.delete",
        /// A secret's metadata were read.
        SecretRead = "secret.read",
        /// Secrets were listed.
        SecretList = "secret.list",
        /// A secret was re-encrypted.
        SecretReEncrypt = "secret.re_encrypt",
        /// Secrets were imported.
        SecretImport = "secret.import",
        /// A plugin was declared, changed, enabled or disabled.
        PluginEdit = "plugin.edit",
        /// A plugin was removed.
        PluginDelete = "plugin.delete",
        /// A category was made or changed.
        CategoryEdit = "category.edit",
        /// A category was removed.
        CategoryDelete = "category.delete",
        /// Plugins, categories or statistics were read.
        CatalogRead = "catalog.read",
        /// A boot was answered.
        Boot = "boot",
        /// A boot was explained.
        BootExplain = "boot.explain",
        /// A boot was reported on.
        BootReport = "boot.report",
        /// Boots were listed.
        BootList = "boot.list",
        /// The trail was read.
        AuditRead = "audit.read",
        /// The trail was verified.
        AuditVerify = "audit.verify",
        /// A session of the console began: somebody logged in.
        SessionStart = "session.start",
        /// A session of the console, or all of one member, ended: somebody logged out.
        SessionEnd = "session.end",
        /// A credential was presented that proves nothing.
        Authenticate = "authenticate",
    }
}

text::text_enum! {
    /// What a detail is about.
    pub enum DetailKey, "a detail of the audit trail" {
        /// The address that the request came from.
        Source = "source",
        /// The request's id.
        Request = "request",
        /// The exported name.
        Env = "env",
        /// The scope.
        Scope = "scope",
        /// The owner of a private secret.
        Owner = "owner",
        /// The version.
        Version = "version",
        /// The version before.
        Previous = "previous",
        /// The key generation.
        Generation = "generation",
        /// How many.
        Count = "count",
        /// How many bytes.
        Bytes = "bytes",
        /// The digest of a receipt.
        Digest = "digest",
        /// The store's revision.
        Revision = "revision",
        /// The role.
        Role = "role",
        /// The plugin.
        Plugin = "plugin",
        /// The ticket.
        Ticket = "ticket",
        /// Whether something is enabled from now on.
        State = "state",
        /// The member that is concerned.
        Member = "member",
        /// The boot.
        Boot = "boot",
        /// The network that a ticket is limited to.
        Network = "network",
        /// When something ends.
        Expires = "expires",
        /// How often a ticket may be used.
        Uses = "uses",
        /// The code of a denial or failure.
        Reason = "reason",
        /// A machine's or host's name as it reported it.
        Host = "host",
    }
}
