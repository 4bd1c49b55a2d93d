//! The command line's grammar: the commands of `dropsafe`, in the order in which `--help` lists them. This file imports every
//! command, so no command may import it.

use clap::{Parser, Subcommand};

use super::{
    audit, backup, boots, category, completions, delete, dev, edit, enroll, environment, exit_codes,
    identity, import, init, issuer, keyslot, launcher, list, lock, login, man, member, migrate, org, plugin,
    preset, re_encrypt, restore, serve, set, show, stats, status, ticket, tls, token,
};

/// Store secrets write-only, and boot workloads with them
#[derive(Debug, Parser)]
#[command(
    name = "dropsafe",
    bin_name = "dropsafe",
    version,
    after_long_help = after_help(),
    max_term_width = 100,
    disable_help_subcommand = true,
    infer_long_args = false,
    arg_required_else_help = true
)]
pub(crate) struct RootArgs {
    #[command(subcommand)]
    pub(crate) command: RootCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RootCommand {
    Dev(dev::DevArgs),
    Init(init::InitArgs),
    Serve(serve::ServeArgs),
    Status(status::StatusArgs),
    Unlock(lock::UnlockArgs),
    Lock(lock::LockArgs),
    #[command(subcommand)]
    Keyslot(keyslot::KeyslotCommand),
    Enroll(enroll::EnrollArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Set(set::SetArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Edit(edit::EditArgs),
    Delete(delete::DeleteArgs),
    ReEncrypt(re_encrypt::ReencryptArgs),
    Import(import::ImportArgs),
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    #[command(subcommand)]
    Category(category::CategoryCommand),
    #[command(subcommand)]
    Preset(preset::PresetCommand),
    Stats(stats::StatsArgs),
    #[command(subcommand)]
    Member(member::MemberCommand),
    #[command(subcommand)]
    Launcher(launcher::LauncherCommand),
    #[command(subcommand)]
    Token(token::TokenCommand),
    #[command(subcommand)]
    Ticket(ticket::TicketCommand),
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    #[command(subcommand)]
    Issuer(issuer::IssuerCommand),
    Boots(boots::BootsArgs),
    Audit(audit::AuditArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    Migrate(migrate::MigrateArgs),
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    #[command(subcommand)]
    Org(org::OrgCommand),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

fn after_help() -> String {
    format!("{}\n\n{}", environment::HELP, exit_codes::HELP)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::usage::{ParseFailure, classify};
    use crate::process::Exit;

    #[test]
    fn the_definitions_hold_together() {
        RootArgs::command().debug_assert();
    }

    fn error_text(words: &[&str]) -> String {
        let typed: Vec<OsString> = ["dropsafe"].iter().chain(words).map(OsString::from).collect();
        let error = RootArgs::try_parse_from(&typed).expect_err("it was parsed");
        match classify(&error, &typed, RootArgs::command) {
            ParseFailure::Help(_) => panic!("that is help"),
            ParseFailure::Usage(error) => {
                assert_eq!(error.exit, Exit::Usage);
                format!("{}\n{}", error.message, error.hint.unwrap_or_default())
            }
        }
    }

    #[test]
    fn what_was_typed_is_not_repeated() {
        const CANARY: &str = "CaNary4Value";
        let dashed = format!("--{CANARY}");
        let given = format!("--file-x={CANARY}");
        for words in [
            &["set", "name", CANARY][..],
            &["set", "name", "--shared", CANARY],
            &["set", "name", &dashed],
            &["set", "name", &given],
            &["set", "name", "--plain=CaNary4Value"],
            &[CANARY],
            &["ticket", CANARY],
            &["ticket", "new", "--ttl", CANARY],
            &["ticket", "new", "--uses", CANARY],
            &["ticket", "new", "--uses", "99999999999999"],
            &["member", "add", "x", "--role", CANARY],
            &["completions", CANARY],
            &["org", "set", "--hints", CANARY],
            &["dev", "--listen", CANARY],
        ] {
            let text = error_text(words);
            assert!(!text.contains(CANARY) && !text.contains("99999"), "{words:?}: {text}");
        }
    }

    #[test]
    fn a_value_among_the_arguments_of_set_gets_its_own_hint() {
        assert!(error_text(&["set", "name", "x"]).contains("standard input"));
        assert!(!error_text(&["show", "name", "x"]).contains("standard input"));
    }
}
