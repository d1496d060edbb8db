//! The machine-readable outputs are as `docs/schema-2.json` says, and it says nothing that they do not have.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

use crate::util::{captures, hsanalyze};

/// The schema's definitions, each compiled when it is first asked for: that takes longer than many a validation.
#[derive(Default)]
pub(crate) struct Schema(BTreeMap<String, Validator>);

impl Schema {
    /// The reasons why `value` is not as `definition` says.
    pub(crate) fn violations(&mut self, definition: &str, value: &Value) -> Vec<String> {
        let validator = self.0.entry(definition.to_owned()).or_insert_with(|| {
            let mut schema: Value = serde_json::from_str(include_str!("../../docs/schema-2.json")).unwrap();
            schema.as_object_mut().unwrap().remove("anyOf");
            schema["$ref"] = format!("#/$defs/{definition}").into();
            jsonschema::validator_for(&schema).unwrap()
        });
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    #[track_caller]
    pub(crate) fn assert_valid(&mut self, definition: &str, value: &Value) {
        let violations = self.violations(definition, value);
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

/// The bundled captures and those of the field cases.
fn all_captures() -> Vec<PathBuf> {
    let field = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/field")).unwrap();
    let field = field.map(|entry| entry.unwrap().path());
    let field = field.filter(|path| path.extension().is_some_and(|extension| extension == "pcap"));
    captures().into_iter().chain(field).collect()
}

#[test]
fn every_capture_gives_a_valid_document_and_valid_lines() {
    let mut schema = Schema::default();
    for path in all_captures() {
        // Not `succeed`: some field captures are damaged, which gives another exit status.
        let json = hsanalyze([OsStr::new("--format=json"), path.as_os_str()]).run();
        let document: Value = serde_json::from_str(json.text()).unwrap();
        schema.assert_valid("analysis", &document);
        let ndjson = hsanalyze([OsStr::new("--format=ndjson"), path.as_os_str()]).run();
        for line in ndjson.text().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            schema.assert_valid(line["type"].as_str().unwrap(), &line);
        }
    }
}

#[test]
fn every_definition_and_field_is_described() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/schema-2.json")).unwrap();
    let mut bare = Vec::new();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        let described = |value: &Value| value.get("description").is_some();
        if !described(definition) {
            bare.push(name.clone());
        }
        for (field, value) in definition["properties"].as_object().into_iter().flatten() {
            let reference = value.to_string().contains("$ref");
            if !described(value) && !reference {
                bare.push(format!("{name}.{field}"));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn a_name_that_the_schema_does_not_know_is_a_violation() {
    let ran = hsanalyze([OsStr::new("--format=json"), captures()[0].as_os_str()]).succeed();
    let mut document: Value = serde_json::from_str(ran.text()).unwrap();
    document["attempts"][0]["whatever"] = 1.into();
    document["listeners"][0].as_object_mut().unwrap().remove("clients");
    assert_eq!(Schema::default().violations("analysis", &document).len(), 2);
}
