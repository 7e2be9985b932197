//! A [`Tree`] as the fork of go-yaml v3 in kyaml writes it: two columns of
//! indentation, lists not indented, styles as they were read.

use std::fmt;

use super::super::write::{Dialect, Style as WriterStyle, Writer};
use super::decode::Written;
use super::{Content, NodeId, Tag, Tree};
use crate::value::Sink as _;

/// Why a tree cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError(super::super::WriteError);

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for WriteError {}

const STYLE: WriterStyle = WriterStyle {
    dialect: Dialect::GoYaml3,
    via_json: false,
    indent_lists: false,
    fold: false,
};

/// The longest key that needs no `?`.
const SIMPLE_KEY: usize = 128;

impl Tree {
    /// The text of the node and of what is below it, with a line feed at its
    /// end.
    ///
    /// # Errors
    ///
    /// [`WriteError`], for what YAML cannot say.
    pub fn to_text(&self, id: NodeId) -> Result<String, WriteError> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, STYLE);
        self.write(&mut writer, id, false, &mut |_, _| {});
        writer.finish().map_err(WriteError)?;
        Ok(String::from_utf8(out).expect("the writer is fed text and writes text"))
    }

    /// The line, from 1, on which `wanted` stands when the whole tree is
    /// written; 0 if it is no key of a mapping in it.
    pub(super) fn written_line(&self, wanted: NodeId) -> usize {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, STYLE);
        let mut line = 0;
        self.write(&mut writer, self.root(), false, &mut |id, so_far| {
            if id == wanted && line == 0 {
                line = memchr::memchr_iter(b'\n', so_far).count() + 1;
            }
        });
        line
    }

    /// Writes a node; `seen` hears of every key and of what was written
    /// before it.
    fn write(
        &self,
        writer: &mut Writer<'_>,
        id: NodeId,
        flow: bool,
        seen: &mut dyn FnMut(NodeId, &[u8]),
    ) {
        let node = self.node(id);
        let anchor = node.extras.as_ref().map_or("", |extras| &extras.anchor);
        match &node.content {
            Content::Scalar(text) => {
                if !flow {
                    writer.begin_node();
                }
                self.write_scalar(writer, id, text, flow, false);
            }
            Content::Alias(target) => {
                if !flow {
                    writer.begin_node();
                }
                let name = self.node(*target).extras.as_ref();
                let name = name.map_or("", |extras| extras.anchor.as_str());
                writer.indicator(format!("*{name}").as_bytes(), true, false, false);
            }
            Content::List(items) => {
                let flow_here = flow || node.style.flow || items.is_empty();
                if flow_here {
                    let before = self.open(writer, id, anchor, b"[", flow);
                    for (at, item) in items.iter().enumerate() {
                        writer.flow_item(at == 0);
                        self.write(writer, *item, true, seen);
                    }
                    writer.close_flow(b"]", before);
                    return;
                }
                self.properties_of_block(writer, id, anchor);
                writer.begin_list();
                for item in items {
                    self.write(writer, *item, false, seen);
                }
                writer.end_list();
            }
            Content::Map(entries) => {
                let flow_here = flow || node.style.flow || entries.is_empty();
                if flow_here {
                    let before = self.open(writer, id, anchor, b"{", flow);
                    for (at, (key, value)) in entries.iter().enumerate() {
                        writer.flow_item(at == 0);
                        seen(*key, writer.so_far());
                        let simple = self.is_simple(*key);
                        if simple {
                            self.write_key(writer, *key, true);
                        } else {
                            writer.indicator(b"?", true, false, false);
                            self.write(writer, *key, true, seen);
                        }
                        writer.indicator(b":", !simple, false, false);
                        self.write(writer, *value, true, seen);
                    }
                    writer.close_flow(b"}", before);
                    return;
                }
                self.properties_of_block(writer, id, anchor);
                writer.begin_map();
                for (key, value) in entries {
                    let simple = self.is_simple(*key);
                    writer.begin_entry();
                    seen(*key, writer.so_far());
                    if simple {
                        self.write_key(writer, *key, false);
                        writer.indicator(b":", false, false, false);
                    } else {
                        writer.indicator(b"?", true, false, true);
                        self.write(writer, *key, false, seen);
                        writer.write_indent();
                        writer.indicator(b":", true, false, true);
                    }
                    self.write(writer, *value, false, seen);
                }
                writer.end_map();
            }
        }
    }

    fn open(
        &self,
        writer: &mut Writer<'_>,
        id: NodeId,
        anchor: &str,
        bracket: &[u8],
        nested: bool,
    ) -> isize {
        if !nested {
            writer.begin_node();
        }
        self.properties(writer, id, anchor);
        writer.open_flow(bracket)
    }

    /// Anchor and tag of a collection that is not in brackets.
    fn properties_of_block(&self, writer: &mut Writer<'_>, id: NodeId, anchor: &str) {
        let node = self.node(id);
        if !anchor.is_empty() || node.style.tagged {
            writer.begin_node();
            self.properties(writer, id, anchor);
            writer.node_begun();
        }
    }

    fn properties(&self, writer: &mut Writer<'_>, id: NodeId, anchor: &str) {
        let node = self.node(id);
        if !anchor.is_empty() {
            writer.indicator(format!("&{anchor}").as_bytes(), true, false, false);
        }
        if node.style.tagged && node.tag != Tag::None {
            writer.indicator(node.tag.name().as_bytes(), true, false, false);
        }
    }

    fn write_scalar(&self, writer: &mut Writer<'_>, id: NodeId, text: &str, flow: bool, key: bool) {
        let node = self.node(id);
        let written = Written::of(node, text, flow, key);
        if let Some(extras) = &node.extras
            && !extras.anchor.is_empty()
        {
            writer.indicator(format!("&{}", extras.anchor).as_bytes(), true, false, false);
        }
        if let Some(tag) = written.tag {
            writer.indicator(tag.name().as_bytes(), true, false, false);
        }
        writer.quoted(text, written.quoting, key);
    }

    fn write_key(&self, writer: &mut Writer<'_>, id: NodeId, flow: bool) {
        match &self.node(id).content {
            Content::Scalar(text) => self.write_scalar(writer, id, text, flow, true),
            _ => self.write(writer, id, true, &mut |_, _| {}),
        }
    }

    fn is_simple(&self, id: NodeId) -> bool {
        match &self.node(id).content {
            Content::Scalar(text) => text.len() <= SIMPLE_KEY && !text.contains('\n'),
            Content::Alias(_) => true,
            Content::Map(entries) => entries.is_empty(),
            Content::List(items) => items.is_empty(),
        }
    }
}
