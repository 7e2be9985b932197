//! Semantic versions, by [`gitops_core::semver`].

use gitops_core::Value as Core;
use gitops_core::semver::{Constraint, Version};

use crate::gotmpl::{Failure, Function, Kind, Method, Object, Str, Type, Value};

const S: Type = Type::Str;
const VERSION: &str = "*semver.Version";

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("semver", &[S], Type::Object(VERSION), |_, args| {
        Ok(Value::object(SemVer(parse(args.str(0))?)))
    }),
    Function::new("semverCompare", &[S, S], Type::Bool, |_, args| {
        let range = Constraint::parse(&args.str(0).to_text())
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Value::Bool(range.matches(&parse(args.str(1))?)))
    }),
];

fn parse(text: &Str) -> Result<Version, Failure> {
    Version::parse(&text.to_text()).map_err(|error| Failure::new(error.to_string()))
}

struct SemVer(Version);

impl Object for SemVer {
    fn type_name(&self) -> &str {
        VERSION
    }

    fn kind(&self) -> Kind {
        Kind::Ptr
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn entries(&self) -> Vec<(Str, Value)> {
        Vec::new()
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.name == name)
    }

    fn text(&self) -> Option<Str> {
        Some(self.0.to_string().into())
    }

    fn to_core(&self) -> Result<Core, Failure> {
        Ok(self.0.to_string().into())
    }

    fn same(&self, other: &dyn Object) -> bool {
        other
            .downcast_ref::<SemVer>()
            .is_some_and(|other| self.0.original == other.0.original)
    }
}

fn version(object: &dyn Object) -> Result<&Version, Failure> {
    match object.downcast_ref::<SemVer>() {
        Some(version) => Ok(&version.0),
        None => Err(Failure::new("not a version")),
    }
}

macro_rules! compare {
    ($name:literal, $method:ident) => {
        Method::new(
            $name,
            &[Type::Object(VERSION)],
            Type::Bool,
            |object, _, args| {
                let other = &args.object::<SemVer>(0).0;
                Ok(Value::Bool(version(object)?.cmp(other).$method()))
            },
        )
    };
}

const METHODS: &[Method] = &[
    Method::new("Major", &[], Type::Uint64, |object, _, _| {
        Ok(Value::Uint64(version(object)?.major))
    }),
    Method::new("Minor", &[], Type::Uint64, |object, _, _| {
        Ok(Value::Uint64(version(object)?.minor))
    }),
    Method::new("Patch", &[], Type::Uint64, |object, _, _| {
        Ok(Value::Uint64(version(object)?.patch))
    }),
    Method::new("Prerelease", &[], S, |object, _, _| {
        Ok(version(object)?.prerelease.clone().into())
    }),
    Method::new("Metadata", &[], S, |object, _, _| {
        Ok(version(object)?.metadata.clone().into())
    }),
    Method::new("Original", &[], S, |object, _, _| {
        Ok(version(object)?.original.clone().into())
    }),
    Method::new("String", &[], S, |object, _, _| {
        Ok(version(object)?.to_string().into())
    }),
    Method::new(
        "Compare",
        &[Type::Object(VERSION)],
        Type::Int,
        |object, _, args| {
            let other = &args.object::<SemVer>(0).0;
            Ok(Value::Int(version(object)?.cmp(other) as i64))
        },
    ),
    compare!("LessThan", is_lt),
    compare!("LessThanEqual", is_le),
    compare!("GreaterThan", is_gt),
    compare!("GreaterThanEqual", is_ge),
    compare!("Equal", is_eq),
];
