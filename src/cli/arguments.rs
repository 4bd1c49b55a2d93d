//! What can be typed: the commands of `dropsafe`, in the order in which `--help` lists them.

use clap::{Parser, Subcommand};

use super::{
    audit, backup, boots, category, completions, delete, dev, edit, environment, exit, import, init, keyslot,
    list, lock, login, man, member, migrate, org, plugin, preset, re_encrypt, restore, serve, set, show,
    stats, status, ticket, token,
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
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// Everything that `dropsafe` does.
#[derive(Debug, Subcommand)]
pub enum Command {
    Dev(dev::Dev),
    Init(init::Init),
    Serve(serve::Serve),
    Status(status::Status),
    Unlock(lock::Unlock),
    Lock(lock::Lock),
    #[command(subcommand)]
    Keyslot(keyslot::Keyslot),
    Login(login::Login),
    Logout(login::Logout),
    Set(set::Set),
    List(list::List),
    Show(show::Show),
    Edit(edit::Edit),
    Delete(delete::Delete),
    ReEncrypt(re_encrypt::ReEncrypt),
    Import(import::Import),
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    #[command(subcommand)]
    Category(category::Category),
    #[command(subcommand)]
    Preset(preset::Preset),
    Stats(stats::Stats),
    #[command(subcommand)]
    Member(member::Member),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Ticket(ticket::Ticket),
    Boots(boots::Boots),
    Audit(audit::Audit),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Org(org::Org),
    Completions(completions::Completions),
    Man(man::Man),
}

fn after_help() -> String {
    format!("{}\n\n{}", environment::HELP, exit::HELP)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Arguments::command().debug_assert();
    }
}
