//! The fixed words of the audit log: what was done, and what a detail is about. Stored as text, so never change one.

use crate::domain::text;

text::text_enum! {
    /// What was done.
    pub enum AuditAction, "an action of the audit log" {
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
        /// A server wrote records without a request, for example when it settled values or pruned old records.
        StoreMaintain = "store.maintain",
        /// The state of the store was asked for.
        StoreRead = "store.read",
        /// A backup was restored, and this store continues from it.
        StoreRestore = "store.restore",
        /// The store was moved to another byte store.
        StoreMigrate = "store.migrate",
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
        /// The operator changed an organization's quotas.
        OrgQuotas = "org.quotas",
        /// A member was added.
        MemberCreate = "member.create",
        /// A member was changed.
        MemberEdit = "member.edit",
        /// A member was removed.
        MemberDelete = "member.delete",
        /// Members were listed.
        MemberList = "member.list",
        /// A person was turned into a service.
        MemberConvert = "member.convert",
        /// A member became a manager of a service.
        ManagerAdd = "manager.add",
        /// A member is no longer a manager of a service.
        ManagerRemove = "manager.remove",
        /// An enrolment was made for a new member.
        EnrolmentCreate = "enrolment.create",
        /// A member redeemed an enrolment for a first token.
        EnrolmentRedeem = "enrolment.redeem",
        /// Credentials that a former manager, launcher or admin had made for others were revoked.
        AuthoredRevoke = "authored.revoke",
        /// Launchers were listed.
        LauncherList = "launcher.list",
        /// A person accepted a launcher.
        LauncherAccept = "launcher.accept",
        /// A person withdrew the acceptance of a launcher.
        LauncherWithdraw = "launcher.withdraw",
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
        /// An identity other than a ticket was made.
        IdentityCreate = "identity.create",
        /// Such an identity was revoked.
        IdentityRevoke = "identity.revoke",
        /// Identities were listed, or a token was tested against one.
        IdentityList = "identity.list",
        /// A person confirmed a change of the issuer that an identity relies on.
        IdentityConfirm = "identity.confirm",
        /// An issuer of tokens was added or changed.
        IssuerEdit = "issuer.edit",
        /// An issuer of tokens was removed.
        IssuerDelete = "issuer.delete",
        /// Issuers of tokens were listed.
        IssuerList = "issuer.list",
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
        /// The end of a boot was reported.
        BootEnd = "boot.end",
        /// Boots were listed.
        BootList = "boot.list",
        /// The audit log was read.
        AuditRead = "audit.read",
        /// Entries were removed because an organization keeps them no longer.
        AuditPrune = "audit.prune",
        /// The audit log was verified.
        AuditVerify = "audit.verify",
        /// Checkpoints of the audit log were made.
        AuditCheckpoint = "audit.checkpoint",
        /// A session of the console began: somebody logged in.
        SessionStart = "session.start",
        /// A session of the console, or all of one member, ended: somebody logged out.
        SessionEnd = "session.end",
        /// A person signed in with a provider.
        SignIn = "sign_in",
        /// A person linked an account at a provider, or it was linked at the first sign-in.
        AccountLink = "account.link",
        /// A person unlinked an account at a provider.
        AccountUnlink = "account.unlink",
        /// The accounts of a person were listed.
        AccountList = "account.list",
        /// A credential was presented that proves nothing.
        Authenticate = "authenticate",
    }
}

text::text_enum! {
    /// What a detail is about.
    pub enum DetailKey, "a detail of the audit log" {
        /// The address that the request came from.
        Source = "source",
        /// The request's id.
        Request = "request",
        /// The credential that acted.
        Credential = "credential",
        /// Who made that credential.
        Author = "author",
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
        /// The time of the first event that a counting entry stands for.
        First = "first",
        /// The time of the last one.
        Last = "last",
        /// How many plain values a list contained.
        Values = "values",
        /// How many bytes.
        Bytes = "bytes",
        /// The digest of a receipt.
        Digest = "digest",
        /// The digest of the record of what a boot received.
        Receipt = "receipt",
        /// The type of a secret: encrypted or plain.
        Type = "type",
        /// The type before.
        PreviousType = "previous_type",
        /// The names of the attributes that changed.
        Changed = "changed",
        /// The store's revision.
        Revision = "revision",
        /// The role.
        Role = "role",
        /// A service's manager.
        Manager = "manager",
        /// The plugin.
        Plugin = "plugin",
        /// The ticket.
        Ticket = "ticket",
        /// Whether something is enabled from now on.
        State = "state",
        /// The name of the member that is concerned.
        Member = "member",
        /// The id of the member that is concerned, or that the actor acts for.
        MemberId = "member_id",
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
        /// Why the token of a machine was refused. The machine does not learn it.
        Check = "check",
        /// The issuer of a token.
        Issuer = "issuer",
        /// The subject of a token, or the provider's identifier of a person.
        Subject = "subject",
        /// A machine's or host's name as it reported it.
        Host = "host",
        /// Which try of the same boot it is, from the second on.
        Try = "try",
        /// The exit status of a workload.
        Status = "status",
        /// The provider that a person signed in with.
        Provider = "provider",
        /// How a person signed in: with the console, a browser or a device code.
        Method = "method",
        /// Who or what reported the end of a boot.
        EndSource = "end_source",
        /// Whether the key generation before signed the new one.
        Endorsed = "endorsed",
        /// The epoch that a restore starts.
        Epoch = "epoch",
        /// How many sessions a restore ended.
        Sessions = "sessions",
        /// How many enrolments a restore ended.
        Enrolments = "enrolments",
        /// How many tickets a restore revoked.
        Tickets = "tickets",
        /// Secrets whose values did not open: exported names, or how many.
        Unusable = "unusable",
    }
}
