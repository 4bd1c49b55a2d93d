//! What can be typed: the commands of `dropsafe`, in the order in which `--help` lists them.

use clap::{Parser, Subcommand};

use super::{
    audit, backup, boots, category, completions, delete, dev, edit, environment, exit_codes, import, init,
    keyslot, list, lock, login, man, member, migrate, org, plugin, preset, re_encrypt, restore, serve, set,
    show, stats, status, ticket, token,
};

/// A write-only secret store: deposit secrets, and let workloads boot with them
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

/// Everything that `dropsafe` does.
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
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Set(set::SetArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Edit(edit::EditArgs),
    Delete(delete::DeleteArgs),
    ReEncrypt(re_encrypt::ReencryptArgs),
    Import(import::Import),
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
    Token(token::TokenCommand),
    #[command(subcommand)]
    Ticket(ticket::TicketCommand),
    Boots(boots::BootsArgs),
    Audit(audit::AuditArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    Migrate(migrate::MigrateArgs),
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
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        RootArgs::command().debug_assert();
    }
}
