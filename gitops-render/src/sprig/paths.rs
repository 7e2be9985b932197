//! Slash-separated paths.

use crate::gotmpl::{Args, Context, Failure, Function, Type, Value};

const S: Type = Type::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("base", &[S], S, base),
    Function::new("osBase", &[S], S, base),
    Function::new("dir", &[S], S, dir),
    Function::new("osDir", &[S], S, dir),
    Function::new("clean", &[S], S, |_, args| {
        Ok(clean(&args.str(0).to_text()).into())
    }),
    Function::new("osClean", &[S], S, |_, args| {
        Ok(clean(&args.str(0).to_text()).into())
    }),
    Function::new("ext", &[S], S, ext),
    Function::new("osExt", &[S], S, ext),
    Function::new("isAbs", &[S], Type::Bool, is_abs),
    Function::new("osIsAbs", &[S], Type::Bool, is_abs),
];

fn base(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let path = args.str(0).to_text();
    if path.is_empty() {
        return Ok(".".into());
    }
    let trimmed = path.trim_end_matches('/');
    let last = trimmed.rsplit('/').next().unwrap_or_default();
    Ok(if last.is_empty() { "/" } else { last }.into())
}

fn dir(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let path = args.str(0).to_text();
    let dir = path.rfind('/').map_or("", |slash| &path[..=slash]);
    Ok(clean(dir).into())
}

fn ext(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let path = args.str(0).to_text();
    let name = path.rsplit('/').next().unwrap_or_default();
    Ok(name.rfind('.').map_or("", |dot| &name[dot..]).into())
}

fn is_abs(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    Ok(Value::Bool(args.str(0).as_bytes().starts_with(b"/")))
}

/// Go's `path.Clean`, and `filepath.Clean` of Unix.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
