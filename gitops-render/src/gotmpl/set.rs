//! Templates that know each other.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::ast::Template;
use super::error::Error;
use super::function::Functions;
use super::parse::{Draft, Scratch, parse};

/// The templates of one file, parsed: the file itself under its own name, and
/// what it defines.
///
/// It is immutable and a clone shares, so a parsed file can be kept and added
/// to many sets, on any thread.
#[derive(Clone, Debug)]
pub struct File(pub(super) Arc<[Arc<Template>]>);

impl File {
    /// Parses the text of a file. The names of functions are resolved here.
    ///
    /// # Errors
    ///
    /// Fails with Go's message and the line.
    pub fn parse(name: &str, text: Bytes, functions: &Functions) -> Result<Self, Error> {
        File::parse_with(name, text, functions, &mut Scratch::default())
    }

    /// The same for who parses many.
    pub(crate) fn parse_with(
        name: &str,
        text: Bytes,
        functions: &Functions,
        scratch: &mut Scratch,
    ) -> Result<Self, Error> {
        Ok(File(parse(name, text, functions, scratch)?.into()))
    }

    /// The same of a text that was parsed already, unless the parser had to know
    /// the name. It takes the tree with it.
    pub(crate) fn of_draft(draft: &mut Draft, name: &str) -> Option<Self> {
        draft.named(name).map(|templates| File(templates.into()))
    }

    /// The name of the file.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.0.first().expect("a file is one").source.name
    }

    /// The templates, shared.
    pub(crate) fn shared(&self) -> &[Arc<Template>] {
        &self.0
    }

    /// The templates, in the order in which they end in the text; the file
    /// itself is last.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.0.iter().map(|template| &**template)
    }
}

/// Templates that are made when somebody asks for them.
pub(crate) trait Shelf {
    /// The template of this name, which is the same each time.
    fn find(&self, name: &str) -> Option<Arc<Template>>;
}

/// Templates that can execute each other by name, and the functions that they
/// call.
#[derive(Debug)]
pub struct Set {
    name: Arc<str>,
    functions: Arc<Functions>,
    templates: HashMap<Arc<str>, Arc<Template>, RandomState>,
}

impl Set {
    /// An empty set. Its name appears in messages about templates that do not
    /// exist and is that of the text given to `tpl`; Helm's is `gotpl`.
    pub fn new(name: &str, functions: Arc<Functions>) -> Self {
        Set {
            name: name.into(),
            functions,
            templates: HashMap::default(),
        }
    }

    /// The name of the set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The functions that its templates call.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Parses a file and adds it.
    ///
    /// # Errors
    ///
    /// Fails with Go's message and the line.
    pub fn parse(&mut self, name: &str, text: &[u8]) -> Result<(), Error> {
        let file = File::parse(name, Bytes::copy_from_slice(text), &self.functions)?;
        self.add(&file);
        Ok(())
    }

    /// Adds the templates of a file. A template replaces an earlier one of its
    /// name unless it is empty.
    pub fn add(&mut self, file: &File) {
        for template in file.0.iter() {
            if self.templates.contains_key(&template.name) && template.is_empty() {
                continue;
            }
            self.templates
                .insert(template.name.clone(), template.clone());
        }
    }

    /// The template of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Template>> {
        self.templates.get(name)
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }
}
