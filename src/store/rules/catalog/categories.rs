//! Categories: the five built-in ones, which an organization may change, and its own.

use std::collections::BTreeMap;

use crate::domain::audit::AuditAction;
use crate::domain::catalog::{CategoryForm, Colour, builtin_categories};
use crate::domain::description::Description;
use crate::domain::name::{Category, Label};
use crate::domain::role::Action;
use crate::store::engine::journal::Stop;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

/// Categories that an organization may declare.
const MAX_CATEGORIES: usize = 100;

/// A category to declare.
#[derive(Clone, Debug)]
pub struct NewCategory {
    /// The name, which secrets refer to.
    pub name: Category,
    /// Its title, colour and description.
    pub form: CategoryForm,
}

/// A category, and the number of its secrets.
#[derive(Clone, Debug)]
pub struct CategoryState {
    /// The name, which secrets refer to.
    pub name: Category,
    /// Its title.
    pub title: Label,
    /// Its colour.
    pub colour: Colour,
    /// Its description.
    pub description: Description,
    /// Whether it is built in.
    pub builtin: bool,
    /// False for a name that secrets refer to, but that is neither built in nor declared.
    pub declared: bool,
    /// Its secrets that the caller may see.
    pub secrets: u64,
}

impl Store {
    /// Lists the built-in categories in their order, then the organization's own and undeclared ones by name.
    pub async fn categories(&self, caller: &Caller) -> Result<Vec<CategoryState>, Error> {
        let audit_action = AuditAction::CatalogRead;
        let (org, _) = self.require_member(caller, audit_action).await?;
        self.permit(caller, Action::ReadCatalog, audit_action, None).await?;
        let mut own = self.records().get(&self.records().categories(org)).await?.unwrap_or_default().forms;
        // The counts come from one pass over the secrets, however many categories there are.
        let mut used = self.statistics(caller).await?.by_category;
        let mut all = Vec::new();
        for (name, form) in builtin_categories() {
            let (form, secrets) = (own.remove(&name).unwrap_or(form), used.remove(&name).unwrap_or(0));
            all.push(state(name, form, true, true, secrets));
        }
        let mut rest = BTreeMap::new();
        for (name, form) in own {
            let secrets = used.remove(&name).unwrap_or(0);
            rest.insert(name.clone(), state(name, form, false, true, secrets));
        }
        for (name, secrets) in used {
            let title = Label::parse(name.as_str());
            // A name that is too long for a title is left out of the list, and stays on its secrets.
            let Ok(title) = title else { continue };
            let form = CategoryForm { title, colour: Colour::Gray, description: Description::default() };
            rest.insert(name.clone(), state(name, form, false, false, secrets));
        }
        all.extend(rest.into_values());
        Ok(all)
    }

    /// Declares a category, or changes a built-in one (an admin).
    pub async fn put_category(&self, caller: &Caller, new: NewCategory) -> Result<CategoryState, Error> {
        let NewCategory { name, form } = new;
        let (of, to) = (name.clone(), form);
        self.change_categories(caller, AuditAction::CategoryEdit, &name, move |all| {
            all.insert(of.clone(), to.clone());
            // After the insertion, so that changing one of a full set is allowed.
            if all.len() > MAX_CATEGORIES {
                let why = "an organization declares at most 100 categories: remove one first";
                return Err(Error::Conflict { why });
            }
            Ok(())
        })
        .await?;
        self.category(caller, &name).await
    }

    /// Removes a category (an admin). Its secrets keep the name. A built-in category gets its original form back.
    pub async fn remove_category(&self, caller: &Caller, name: &Category) -> Result<CategoryState, Error> {
        // Read before the change, because the answer shows the category as it was.
        let before = match caller.may(Action::EditCatalog) {
            true => Some(self.category(caller, name).await?),
            // Refused below, where the denial is recorded.
            false => None,
        };
        let of = name.clone();
        self.change_categories(caller, AuditAction::CategoryDelete, name, move |all| match all.remove(&of) {
            Some(_) => Ok(()),
            // Its own form may be removed, but the category itself always exists.
            None if builtin_categories().any(|(name, _)| name == of) => {
                Err(Error::Conflict { why: "a built-in category cannot be removed" })
            }
            None => Err(not_found()),
        })
        .await?;
        match before {
            Some(before) if before.builtin => self.category(caller, name).await,
            before => before.ok_or_else(not_found),
        }
    }

    async fn category(&self, caller: &Caller, name: &Category) -> Result<CategoryState, Error> {
        let all = self.categories(caller).await?;
        all.into_iter().find(|state| state.name == *name).ok_or_else(not_found)
    }

    async fn change_categories(
        &self,
        caller: &Caller,
        audit_action: AuditAction,
        name: &Category,
        change: impl Fn(&mut BTreeMap<Category, CategoryForm>) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (org, _) = self.require_member(caller, audit_action).await?;
        self.permit(caller, Action::EditCatalog, audit_action, Some(target::category(name))).await?;
        let key = self.records().categories(org);
        let event = caller.event(audit_action).about(target::category(name));
        let changed = self.journal().run(vec![key.to_vec()], move |tx| {
            // One record for all, because they are few and always listed together.
            let mut all = tx.get(&key)?.unwrap_or_default();
            change(&mut all.forms)?;
            tx.put(&key, &all)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(())
        });
        changed.await
    }
}

fn state(name: Category, form: CategoryForm, builtin: bool, declared: bool, secrets: u64) -> CategoryState {
    let CategoryForm { title, colour, description } = form;
    CategoryState { name, title, colour, description, builtin, declared, secrets }
}

fn not_found() -> Error {
    Error::NotFound { what: "category" }
}
