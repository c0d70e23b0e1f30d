use serde_json::json;
use syncbridge_domain::quota::WhyTag;

use super::*;

fn part(bytes: usize) -> Call {
    let mut call = Call::write(
        Method::Post,
        "/x".into(),
        "/x",
        Endpoint::CreateItem,
        WhyTag::Change,
        Some(&json!({})),
    );
    call.body = Some(Bytes::from(vec![b' '; bytes]));
    call
}

#[test]
fn parts_are_grouped_by_number_and_by_size_and_none_is_left_out() {
    let sizes = |parts: &[Call]| {
        let mut groups = groups(parts, (0..parts.len()).collect());
        groups.reverse();
        let all: Vec<usize> = groups.iter().flatten().copied().collect();
        assert_eq!(
            all,
            (0..parts.len()).collect::<Vec<_>>(),
            "every part once, in order"
        );
        groups.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&vec![part(10); 45]), [20, 20, 5]);
    assert_eq!(sizes(&vec![part(1 << 20); 5]), [2, 2, 1]);
    assert_eq!(sizes(&[part(4 << 20), part(10)]), [1, 1]);
    assert!(sizes(&[]).is_empty());
}

#[test]
fn a_parts_own_request_id_goes_before_the_batchs() {
    let body = json!({"responses": [
        {"id": "0", "status": 200, "headers": {"request-id": "own-0"}, "body": {"a": 1}},
        {"id": "1", "status": 204}]});
    let answer = HttpResponse {
        status: 200,
        headers: vec![("request-id".into(), "whole".into())],
        body: Bytes::from(body.to_string()),
    };
    let found = read_parts(&answer, 3);
    assert_eq!(request_id(found[0].as_ref().unwrap()).as_deref(), Some("own-0"));
    assert_eq!(&found[0].as_ref().unwrap().body[..], br#"{"a":1}"#);
    assert_eq!(request_id(found[1].as_ref().unwrap()).as_deref(), Some("whole"));
    assert!(found[2].is_none());
}
