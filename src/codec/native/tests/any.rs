//! Properties that hold for any message.

use super::*;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-c\"\\\\\n张\u{202e}]{0,12}", any::<String>()]
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3u64, Just((1 << 53) - 1), Just(1 << 53), any::<u64>()]
}

fn any_position() -> impl Strategy<Value = plaza::Position> {
    (any_text(), any_text(), any_number(), any_number()).prop_map(|(room, peer, epoch, seq)| plaza::Position {
        room,
        peer,
        epoch,
        seq,
    })
}

fn any_request() -> impl Strategy<Value = RequestBody> {
    let kind = prop_oneof![0..5i32, Just(1000)];
    let small = || prop_oneof![0..3u32, any::<u32>()];
    prop_oneof![
        (
            any_text(),
            any_text(),
            any_text(),
            prop::collection::vec(any_position(), 0..4),
            any_text()
        )
            .prop_map(|(name, token, key, resume, client)| RequestBody::Hello(plaza::Hello {
                name,
                token,
                key,
                resume,
                client
            })),
        (any_text(), any_number(), any_number(), small())
            .prop_map(|(room, epoch, seq, last)| RequestBody::Join(plaza::Join { room, epoch, seq, last })),
        any_text().prop_map(|room| RequestBody::Leave(plaza::Leave { room })),
        (any_text(), any_text(), any_text(), kind.clone())
            .prop_map(|(room, text, key, kind)| RequestBody::Talk(plaza::Talk { room, text, key, kind })),
        (any_text(), any_text(), any_text(), kind)
            .prop_map(|(to, text, key, kind)| RequestBody::Direct(plaza::Direct { to, text, key, kind })),
        (any_text(), any_text(), small()).prop_map(|(room, after, limit)| RequestBody::Users(plaza::Users {
            room,
            after,
            limit
        })),
        (any_text(), small()).prop_map(|(after, limit)| RequestBody::Rooms(plaza::Rooms { after, limit })),
        (any_text(), any_text()).prop_map(|(room, topic)| RequestBody::Topic(plaza::SetTopic { room, topic })),
        (any_text(), any_text()).prop_map(|(name, key)| RequestBody::Rename(plaza::Rename { name, key })),
        (
            any_text(),
            any_text(),
            any_number(),
            prop::option::of(any_number()),
            small()
        )
            .prop_map(
                |(room, peer, before, after, limit)| RequestBody::History(plaza::History {
                    room,
                    peer,
                    before,
                    after,
                    limit
                })
            ),
        (any_text(), any_text(), any_text(), any_number(), small()).prop_map(|(room, peer, text, before, limit)| {
            RequestBody::Search(plaza::Search {
                room,
                peer,
                text,
                before,
                limit,
            })
        }),
        (any_text(), any_text(), any_number()).prop_map(|(room, peer, seq)| RequestBody::Read(plaza::Read {
            room,
            peer,
            seq
        })),
        (any_text(), any_text()).prop_map(|(room, to)| RequestBody::Typing(plaza::Typing { room, to })),
        Just(RequestBody::Unread(plaza::Unread {})),
        Just(RequestBody::Ping(plaza::Ping {})),
        Just(RequestBody::Exit(plaza::Exit {})),
    ]
}

proptest! {
    #[test]
    fn both_forms_of_any_request_mean_the_same(id in any_number(), request in any_request()) {
        let result = from_both(&plaza::ClientMessage { id, request: Some(request.clone()) });
        if let Ok(read) = result {
            prop_assert_eq!(read.id, NonZeroU64::new(id));
            prop_assert_eq!(Ok(read.command), decode::command(request));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = from_protobuf(&bytes);
        let _ = decode_with(codec(Some(JSON)).as_mut(), Message::Text(&bytes));
    }

    #[test]
    fn any_cut_and_any_flip_of_a_request_is_read_or_refused(
        request in any_request(), cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let message = client_message(request);
        for mut bytes in [message.encode_to_vec(), serde_json::to_vec(&message).unwrap()] {
            let place = flip.index(bytes.len());
            bytes[place] ^= 1 << bit;
            for end in [cut.index(bytes.len()), bytes.len()] {
                let _ = from_protobuf(&bytes[..end]);
                let _ = decode_with(codec(Some(JSON)).as_mut(), Message::Text(&bytes[..end]));
            }
        }
    }
}
