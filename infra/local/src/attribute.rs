//! DynamoDB's attributes in its JSON, and back.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html#Programming.LowLevelAPI.DataTypeDescriptors>

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

/// An attribute as `{"S": "…"}` and so on.
pub fn to_json(value: &AttributeValue) -> Value {
    let blob = |blob: &Blob| BASE64.encode(blob.as_ref());
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(yes) => json!({ "BOOL": yes }),
        AttributeValue::Null(_) => json!({ "NULL": true }),
        AttributeValue::B(bytes) => json!({ "B": blob(bytes) }),
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(blobs) => json!({ "BS": blobs.iter().map(blob).collect::<Vec<_>>() }),
        AttributeValue::L(values) => json!({ "L": values.iter().map(to_json).collect::<Vec<_>>() }),
        AttributeValue::M(values) => {
            let values = values.iter().map(|(name, it)| (name.clone(), to_json(it)));
            json!({ "M": values.collect::<Map<_, _>>() })
        }
        other => unreachable!("DynamoDB has no {other:?}"),
    }
}

/// The attribute; nothing where it is none.
pub fn from_json(value: &Value) -> Option<AttributeValue> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let (kind, value) = object.iter().next()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let blob = |value: &Value| BASE64.decode(value.as_str()?).ok().map(Blob::new);
    let texts = || value.as_array()?.iter().map(text).collect::<Option<_>>();
    Some(match kind.as_str() {
        "S" => AttributeValue::S(text(value)?),
        "N" => AttributeValue::N(text(value)?),
        "BOOL" => AttributeValue::Bool(value.as_bool()?),
        "NULL" => AttributeValue::Null(value.as_bool()?),
        "B" => AttributeValue::B(blob(value)?),
        "SS" => AttributeValue::Ss(texts()?),
        "NS" => AttributeValue::Ns(texts()?),
        "BS" => AttributeValue::Bs(value.as_array()?.iter().map(blob).collect::<Option<_>>()?),
        "L" => AttributeValue::L(
            value
                .as_array()?
                .iter()
                .map(from_json)
                .collect::<Option<_>>()?,
        ),
        "M" => {
            let values = value.as_object()?.iter();
            let values = values.map(|(name, it)| Some((name.clone(), from_json(it)?)));
            AttributeValue::M(values.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_were() {
        for value in [
            json!({ "S": "å" }),
            json!({ "N": "1.5" }),
            json!({ "BOOL": false }),
            json!({ "NULL": true }),
            json!({ "B": "AAE=" }),
            json!({ "SS": ["a"] }),
            json!({ "NS": ["1"] }),
            json!({ "BS": ["AAE="] }),
            json!({ "L": [{ "S": "a" }, { "M": { "b": { "N": "2" } } }] }),
        ] {
            assert_eq!(to_json(&from_json(&value).unwrap()), value);
        }
        for wrong in [
            json!("a"),
            json!({}),
            json!({ "S": 1 }),
            json!({ "X": "a" }),
            json!({ "S": "a", "N": "1" }),
        ] {
            assert_eq!(from_json(&wrong), None, "{wrong}");
        }
    }
}
