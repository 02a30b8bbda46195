//! What the switch is asked, by the node and by hand. Oracles: a request that is read is for guests that the host has;
//! its answer fits a message and is read as it was given.

use super::{GUESTS, rules};
use crate::switch::forward::Switch;
use crate::switch::protocol::{
    ANSWER_BYTES_MAX, Answer, Request, answer, read, read_link, read_point, read_words, words,
};
use vmatic_plan::{GuestId, LinkProperties, RangeSet};

pub fn seeds() -> Vec<Vec<u8>> {
    let all = RangeSet::span(1, GUESTS);
    let requests = [
        Request::Plug(GuestId(3)),
        Request::SetLink(all.clone(), LinkProperties { rate_bits_s: 1_000_000, delay_us: 20_000, loss_ppm: 5 }),
        Request::Ports(all),
        Request::Uplink,
    ];
    let requests = requests.iter().filter_map(|request| postcard::to_allocvec(request).ok());
    let texts = ["link 1-4 rate=10mbit", "ports .", "uplink", "1-4,7 delay=20ms loss=1%", "3"];
    requests.chain(texts.iter().map(|text| text.as_bytes().to_vec())).collect()
}

pub fn run(data: &[u8]) {
    let rules = rules();
    let ours = RangeSet::span(1, GUESTS);
    if let Ok(request) = read(data, &rules) {
        carry_out(request, &ours);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match read_words(text, GUESTS) {
        Ok(request) => carry_out(request, &ours),
        Err(why) => assert!(!why.is_empty()),
    }
    if let Ok((guests, link)) = read_link(text, GUESTS) {
        assert!(link.is_valid() && !guests.is_empty() && guests.difference(&ours).is_empty(), "{text:?}");
    }
    let _ = read_point(text);
}

fn carry_out(request: Request, ours: &RangeSet) {
    if let Request::SetLink(guests, _) | Request::Ports(guests) = &request {
        assert!(guests.difference(ours).is_empty(), "{request:?}");
    }
    let mut switch = Switch::new(rules());
    ours.iter().map(GuestId).for_each(|guest| switch.plug(guest));
    let given = answer(request, &mut switch, 0);
    if let Ok(response) = &given {
        let _ = words(response);
    }
    let bytes = postcard::to_allocvec(&given).unwrap_or_default();
    assert!((1..=ANSWER_BYTES_MAX).contains(&bytes.len()), "{given:?}");
    assert_eq!(postcard::from_bytes::<Answer>(&bytes).as_ref(), Ok(&given));
}
