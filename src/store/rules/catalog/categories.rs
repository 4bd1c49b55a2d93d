//! Categories: the five that every organization has, as they are or as it changed them, and its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::audit::AuditAction;
use crate::domain::catalog::{CategoryForm, Colour, Description, builtin_categories};
use crate::domain::name::{Category, Label};
use crate::domain::role::Action;
use crate::store::engine::journal::Stop;
use crate::store::engine::records::Record;
use crate::store::rules::audit::{Tell, target};
use crate::store::rules::auth::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

/// Categories that an organization may declare.
const MAX_CATEGORIES: usize = 100;

/// A category as it is declared.
#[derive(Clone, Debug)]
pub struct NewCategory {
    /// The word that secrets carry.
    pub name: Category,
    /// How it is shown.
    pub form: CategoryForm,
}

/// A category, and how much is in it.
#[derive(Clone, Debug)]
pub struct CategoryState {
    /// The word that secrets carry.
    pub name: Category,
    /// What people call it.
    pub title: Label,
    /// Its colour.
    pub colour: Colour,
    /// What belongs there.
    pub description: Description,
    /// Whether it is one of the five.
    pub builtin: bool,
    /// False for a word that secrets carry and that is none of the five and was never declared.
    pub declared: bool,
    /// Secrets in it that the caller may see.
    pub secrets: u64,
}

/// What an organization declared.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct CategoriesRecord(BTreeMap<Category, CategoryForm>);

impl Record for CategoriesRecord {}

impl Store {
    /// The five first, in their order; then the organization's own and those that are only in use, by name.
    pub async fn categories(&self, caller: &Caller) -> Result<Vec<CategoryState>, Error> {
        let told = AuditAction::CatalogRead;
        let (org, _) = self.insider(caller, told).await?;
        self.permit(caller, Action::ReadCatalog, told, None).await?;
        let mut own = self.records().get(&self.records().categories(org)).await?.unwrap_or_default().0;
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
            let Ok(title) = title else { continue };
            let form = CategoryForm { title, colour: Colour::Gray, description: Description::default() };
            rest.insert(name.clone(), state(name, form, false, false, secrets));
        }
        all.extend(rest.into_values());
        Ok(all)
    }

    /// Declares a category, or shows one of the five otherwise (an admin).
    pub async fn put_category(&self, caller: &Caller, new: NewCategory) -> Result<CategoryState, Error> {
        let NewCategory { name, form } = new;
        let (of, to) = (name.clone(), form);
        self.change_categories(caller, AuditAction::CategoryEdit, &name, move |all| {
            all.insert(of.clone(), to.clone());
            if all.len() > MAX_CATEGORIES {
                let why = "an organization declares at most 100 categories: remove one first";
                return Err(Error::Conflict { why });
            }
            Ok(())
        })
        .await?;
        self.category(caller, &name).await
    }

    /// Removes a category (an admin): its secrets keep the word. One of the five is shown as it was at first.
    pub async fn remove_category(&self, caller: &Caller, name: &Category) -> Result<CategoryState, Error> {
        let before = match caller.may(Action::EditCatalog) {
            true => Some(self.category(caller, name).await?),
            // To be refused below, with a record of it.
            false => None,
        };
        let of = name.clone();
        self.change_categories(caller, AuditAction::CategoryDelete, name, move |all| match all.remove(&of) {
            Some(_) => Ok(()),
            None if builtin_categories().any(|(name, _)| name == of) => {
                Err(Error::Conflict { why: "the five categories that every organization has stay" })
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
        told: AuditAction,
        name: &Category,
        change: impl Fn(&mut BTreeMap<Category, CategoryForm>) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (org, _) = self.insider(caller, told).await?;
        self.permit(caller, Action::EditCatalog, told, Some(target::category(name))).await?;
        let key = self.records().categories(org);
        let event = caller.event(told).about(target::category(name));
        let changed = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut all = tx.get(&key)?.unwrap_or_default();
            change(&mut all.0)?;
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
