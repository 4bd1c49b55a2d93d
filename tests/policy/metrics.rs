//! The size and shape of the sources: a table for people (`make metrics`), and limits that the sources must keep.
//!
//! Test code (items under `#[cfg(test)]` and the files they name) does not count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Lines of code when the limits below were set. A feature may raise it, in the same commit, with its reason.
/// Checkpoints of the audit log took 750, the rotation of the TLS key and the memory of revisions 500, the verification of the keys and the
/// epochs of restores 650, what the owner of the byte store and an attacker on the network found 100, sealed release 1,850, issuers' tokens
/// with the templates of eight platforms and identities 4,400, the agent's sources of tokens and tokens bound to a key 700, the page of
/// identities in the console 400, what an attacker found in them 350, the deletion of the ticket file by the supervisor 120, sign-in of people
/// with an OIDC provider 4,150.
const MAX_CODE_LINES: usize = 70_350;
const MAX_FILE_LINES: usize = 430;
const MAX_MEDIAN_LINES: usize = 140;
const MAX_P90_LINES: usize = 280;
const MAX_FUNCTION_LINES: usize = 60;
const MAX_PARAMETERS: usize = 5;
const MAX_FUNCTIONS_OVER_PARAMETERS: usize = 5;
const DOC_LINES_PER_100: std::ops::RangeInclusive<f64> = 12.0..=18.0;
const MIN_BODY_COMMENTS_PER_100: f64 = 4.0;
/// What is over a limit, by the beginning of its fault. An entry that no longer applies fails the test, so that the list only
/// shrinks.
const BACKLOG: &[&str] = &[
    // Each says why the call cannot fail.
    "unwrap() or expect(): crypto/",
];

#[derive(Default)]
struct Metrics {
    /// Lines before and between tests, by file.
    files: BTreeMap<String, usize>,
    code: usize,
    docs: usize,
    body_comments: usize,
    long_functions: Vec<String>,
    many_parameters: Vec<String>,
    unwraps: Vec<String>,
    types: BTreeMap<String, Vec<String>>,
    split_imports: Vec<String>,
}

/// Figures by module, for the table.
#[derive(Default)]
struct ModuleRow {
    files: usize,
    code: usize,
    docs: usize,
    body_comments: usize,
}

#[test]
fn the_sources_keep_their_limits() {
    let (metrics, modules) = measure(Path::new(SOURCES));
    let mut lengths: Vec<usize> = metrics.files.values().copied().collect();
    lengths.sort_unstable();
    assert!(lengths.len() > 100, "the sources were not found");
    let median = lengths[lengths.len() / 2];
    let p90 = lengths[lengths.len() * 9 / 10];
    let longest = *lengths.last().unwrap();
    let per_100 = |part: usize| 100.0 * part as f64 / metrics.code as f64;
    let ambiguous: Vec<String> = metrics
        .types
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    let long_files: Vec<String> = metrics
        .files
        .iter()
        .filter(|(_, lines)| **lines > MAX_FILE_LINES)
        .map(|(file, lines)| format!("{file}: {lines} lines"))
        .collect();

    println!("module        files    code  docs/100  comments in bodies/100");
    for (module, row) in &modules {
        let per_100 = |part: usize| 100.0 * part as f64 / row.code.max(1) as f64;
        let (docs, comments) = (per_100(row.docs), per_100(row.body_comments));
        println!("{module:<12} {:>6} {:>7} {docs:>9.1} {comments:>9.1}", row.files, row.code);
    }
    println!();
    println!("files                                 {:>7}", lengths.len());
    println!("lines of code                         {:>7}   at most {MAX_CODE_LINES}", metrics.code);
    println!("lines of a file, median               {median:>7}   at most {MAX_MEDIAN_LINES}");
    println!("lines of a file, 90th percentile      {p90:>7}   at most {MAX_P90_LINES}");
    println!("lines of the longest file             {longest:>7}   at most {MAX_FILE_LINES}");
    println!(
        "functions above {MAX_FUNCTION_LINES} lines              {:>7}   none",
        metrics.long_functions.len()
    );
    println!(
        "functions with over {MAX_PARAMETERS} parameters      {:>7}   at most {MAX_FUNCTIONS_OVER_PARAMETERS}",
        metrics.many_parameters.len()
    );
    println!("unwrap() and expect()                 {:>7}   none", metrics.unwraps.len());
    println!("doc lines per 100 of code             {:>7.1}   12 to 18", per_100(metrics.docs));
    println!("comments in bodies per 100 of code    {:>7.1}   at least 4", per_100(metrics.body_comments));
    println!("type names                            {:>7}", metrics.types.len());
    println!("type names with two meanings          {:>7}   none", ambiguous.len());

    let mut faults = Vec::new();
    faults.extend(long_files);
    if median > MAX_MEDIAN_LINES || p90 > MAX_P90_LINES {
        faults.push(format!("the files are too long: median {median}, 90th percentile {p90}"));
    }
    if metrics.code > MAX_CODE_LINES {
        faults.push(format!(
            "{} lines of code are more than {MAX_CODE_LINES}: delete what the change made unnecessary, \
             or raise the limit and say why",
            metrics.code
        ));
    }
    if metrics.many_parameters.len() > MAX_FUNCTIONS_OVER_PARAMETERS {
        faults.extend(metrics.many_parameters.iter().map(|place| format!("too many parameters: {place}")));
    }
    faults.extend(metrics.long_functions.iter().map(|place| format!("too long: {place}")));
    faults.extend(metrics.unwraps.iter().map(|place| format!("unwrap() or expect(): {place}")));
    faults.extend(ambiguous.iter().map(|name| format!("a type name with two meanings: {name}")));
    faults.extend(
        metrics.split_imports.iter().map(|place| format!("imports of one module are split: {place}")),
    );
    if !DOC_LINES_PER_100.contains(&per_100(metrics.docs)) {
        faults.push(format!("{:.1} doc lines per 100 lines of code", per_100(metrics.docs)));
    }
    if per_100(metrics.body_comments) < MIN_BODY_COMMENTS_PER_100 {
        faults.push(format!(
            "{:.1} comments in bodies per 100 lines of code: give the reasons where the code cannot",
            per_100(metrics.body_comments)
        ));
    }
    for known in BACKLOG {
        let before = faults.len();
        faults.retain(|fault| !fault.starts_with(known));
        if faults.len() == before {
            faults.push(format!("no longer over a limit, so delete it from BACKLOG: {known:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn measure(root: &Path) -> (Metrics, BTreeMap<String, ModuleRow>) {
    let mut files = Vec::new();
    rust_files(root, &mut files);
    let parsed: Vec<(PathBuf, String, syn::File)> = files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let tree = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, text, tree)
        })
        .collect();
    // Files and folders that a `#[cfg(test)] mod name;` brings in.
    let tests: Vec<PathBuf> = parsed
        .iter()
        .flat_map(|(path, _, tree)| tree.items.iter().filter_map(|item| test_module(path, item)))
        .collect();

    let mut metrics = Metrics::default();
    let mut modules: BTreeMap<String, ModuleRow> = BTreeMap::new();
    for (path, text, tree) in &parsed {
        if tests.iter().any(|test| path.starts_with(test) || *path == test.with_extension("rs")) {
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let mut file = SourceFile::new(&name, text.lines().count());
        file.visit_file(tree);
        let before = (metrics.code, metrics.docs, metrics.body_comments);
        file.count_lines(text, &mut metrics);
        let module = modules.entry(name.split('/').next().unwrap().to_owned()).or_default();
        module.files += 1;
        module.code += metrics.code - before.0;
        module.docs += metrics.docs - before.1;
        module.body_comments += metrics.body_comments - before.2;
        metrics.long_functions.append(&mut file.long_functions);
        metrics.many_parameters.append(&mut file.many_parameters);
        metrics.unwraps.append(&mut file.unwraps);
        for type_name in file.types {
            metrics.types.entry(type_name).or_default().push(name.clone());
        }
        if let Some(module) = split_import(&tree.items) {
            metrics.split_imports.push(format!("{name}: {module}"));
        }
    }
    (metrics, modules)
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && matches!(&attribute.meta, syn::Meta::List(list) if names_test(&list.tokens.to_string()))
    })
}

fn names_test(condition: &str) -> bool {
    condition.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
        && !condition.starts_with("not")
}

/// Where the test module that `item` declares lives, without `.rs`.
fn test_module(file: &Path, item: &syn::Item) -> Option<PathBuf> {
    let syn::Item::Mod(module) = item else { return None };
    if module.content.is_some() || !is_test(&module.attrs) {
        return None;
    }
    let folder = match file.file_stem()?.to_str()? {
        "mod" | "lib" => file.parent()?.to_owned(),
        stem => file.parent()?.join(stem),
    };
    Some(folder.join(module.ident.to_string()))
}

/// The module that two `use` items of the same visibility and attributes import from, if there is one.
fn split_import(items: &[syn::Item]) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    items.iter().find_map(|item| {
        let syn::Item::Use(import) = item else { return None };
        if !import.attrs.is_empty() {
            return None;
        }
        let mut module = String::new();
        let mut tree = &import.tree;
        while let syn::UseTree::Path(path) = tree {
            module.push_str(&format!("{}::", path.ident));
            tree = &path.tree;
        }
        let visible = match import.vis {
            syn::Visibility::Inherited => 0,
            syn::Visibility::Restricted(_) => 1,
            syn::Visibility::Public(_) => 2,
        };
        let simple = matches!(tree, syn::UseTree::Name(_) | syn::UseTree::Group(_));
        (simple && !module.is_empty() && !seen.insert((visible, module.clone()))).then_some(module)
    })
}

/// One file, as the visitor sees it.
struct SourceFile<'a> {
    name: &'a str,
    /// By line: whether it belongs to tests, and whether it lies in a function's body.
    tests: Vec<bool>,
    bodies: Vec<bool>,
    depth: usize,
    long_functions: Vec<String>,
    many_parameters: Vec<String>,
    unwraps: Vec<String>,
    types: Vec<String>,
}

impl<'a> SourceFile<'a> {
    fn new(name: &'a str, lines: usize) -> Self {
        Self {
            name,
            tests: vec![false; lines + 1],
            bodies: vec![false; lines + 1],
            depth: 0,
            long_functions: Vec::new(),
            many_parameters: Vec::new(),
            unwraps: Vec::new(),
            types: Vec::new(),
        }
    }

    fn count_lines(&self, text: &str, metrics: &mut Metrics) {
        let mut lines = 0;
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if self.tests[number] {
                continue;
            }
            lines += 1;
            if line.starts_with("///") || line.starts_with("//!") {
                metrics.docs += 1;
            } else if line.starts_with("//") {
                metrics.body_comments += usize::from(self.bodies[number]);
            } else if !line.is_empty() {
                metrics.code += 1;
                metrics.body_comments += usize::from(self.bodies[number] && line.contains("; // "));
            }
        }
        metrics.files.insert(self.name.to_owned(), lines);
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let (first, last) = (signature.span().start().line, body.span().end().line);
        if last - first + 1 > MAX_FUNCTION_LINES && self.depth == 0 {
            let lines = last - first + 1;
            self.long_functions.push(format!("{}: {} has {lines} lines", self.name, signature.ident));
        }
        if signature.inputs.len() > MAX_PARAMETERS {
            let parameters = signature.inputs.len();
            self.many_parameters.push(format!("{}: {} takes {parameters}", self.name, signature.ident));
        }
        mark(&mut self.bodies, body.span());
        self.depth += 1;
        visit::visit_block(self, body);
        self.depth -= 1;
    }

    fn named(&mut self, name: &syn::Ident) {
        if self.depth == 0 {
            self.types.push(name.to_string());
        }
    }
}

fn mark(lines: &mut [bool], span: proc_macro2::Span) {
    lines[span.start().line..=span.end().line].fill(true);
}

impl<'ast> Visit<'ast> for SourceFile<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Trait(item) => &item.attrs,
            syn::Item::Macro(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if is_test(attributes) {
            mark(&mut self.tests, item.span());
            return;
        }
        match item {
            syn::Item::Struct(item) => self.named(&item.ident),
            syn::Item::Enum(item) => self.named(&item.ident),
            syn::Item::Trait(item) => self.named(&item.ident),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.named(&item.ident);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_test(&item.attrs) {
            mark(&mut self.tests, item.span());
        } else {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "unwrap" || call.method == "expect" && call.args.len() == 1 {
            let line = call.method.span().start().line;
            self.unwraps.push(format!("{}:{line}", self.name));
        }
        visit::visit_expr_method_call(self, call);
    }
}
