//! The page in a browser. Needs a Chromium, the system's or npm's; where none can be had the test says
//! so and passes.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::support::chromium::chromium;
use crate::support::packages::skip;
use crate::support::{TestStack, text};

const SECTIONS: [&str; 7] = [
    "timeline",
    "queues",
    "mails",
    "stripe",
    "channels",
    "schedules",
    "samples",
];

/// The contrast of each of these texts with each of these grounds, by WCAG, at the least.
const CONTRAST: &str = "(() => {
    const probe = document.body.appendChild(document.createElement('i'));
    const light = (name) => {
        probe.style.color = `var(--${name})`;
        const channel = (it) => (it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map((it) => channel(it / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, two) => {
        const [dark, bright] = [light(one), light(two)].sort((a, b) => a - b);
        return (bright + 0.05) / (dark + 0.05);
    };
    const pairs = [['good', 'good-bg'], ['bad', 'bad-bg'], ['warn', 'warn-bg'], ['run', 'run-bg'], ['on-accent', 'accent']];
    for (const text of ['ink', 'soft', 'accent']) for (const ground of ['bg', 'card', 'pick', 'sunk']) pairs.push([text, ground]);
    const poor = pairs.map(([one, two]) => [`${one} on ${two}`, ratio(one, two)]).filter(([, it]) => it < 4.5);
    probe.remove();
    return poor;
})()";

async fn browser() -> Option<Browser> {
    let found = tokio::task::spawn_blocking(chromium)
        .await
        .expect("it ends");
    match found {
        Ok(program) => Some(Browser::start(&program).await),
        Err(why) => {
            skip(&why);
            None
        }
    }
}

#[tokio::test]
async fn a_flow_appears_by_itself_and_is_read_with_the_keyboard() {
    let Some(mut page) = browser().await else {
        return;
    };
    let stack = TestStack::start().await;
    page.look(1280, "light").await;
    page.open(&format!("{}/_console", stack.info().api_url))
        .await;
    page.until("document.querySelector('.live').textContent.trim() === 'Live'")
        .await;
    page.until("document.querySelector('.empty pre')").await;
    stack.onboarded("Uppsala").await;
    page.until("document.querySelectorAll('.item').length > 0 && document.querySelectorAll('.row').length > 10").await;
    page.until("document.querySelector('.pill').textContent === 'Done'")
        .await;
    let rows = page
        .eval("[...document.querySelectorAll('.row')].map((it) => it.ariaLabel)")
        .await;
    let told = rows.to_string();
    for part in [
        "Request, POST /api/admin/universities",
        "Vendor call, Stripe, POST /v1/customers",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }

    // From the top: past the skip link, to the tabs, and along them.
    page.press("Tab").await;
    assert_eq!(focused(&mut page).await, "Skip to the content");
    page.press("Tab").await;
    assert_eq!(focused(&mut page).await, "Timeline");
    for expect in ["Queues", "Mails"] {
        page.press("ArrowRight").await;
        assert_eq!(focused(&mut page).await, expect);
        page.until(&format!("document.title.startsWith('{expect}')"))
            .await;
    }
    page.press("End").await;
    assert_eq!(focused(&mut page).await, "Samples");
    page.press("ArrowRight").await;
    assert_eq!(focused(&mut page).await, "Timeline");
    page.until("document.querySelectorAll('.row').length > 10")
        .await;

    // To the search, into the list, and to a flow's spans.
    page.press("/").await;
    page.until("document.activeElement.type === 'search'").await;
    page.eval("document.querySelector('.item').focus()").await;
    page.press("Home").await;
    page.press("Enter").await;
    page.until("location.hash.startsWith('#timeline/') && document.activeElement.matches('.item')")
        .await;
    page.eval("document.querySelector('.row').focus()").await;
    page.press("ArrowDown").await;
    let second = "document.activeElement === document.querySelectorAll('.row')[1]";
    assert_eq!(page.eval(second).await, true);
    page.press("Enter").await;
    page.until("document.querySelector('.more .log')?.textContent.includes('request answered')")
        .await;
    // Though it was drawn anew, it is where the keyboard was.
    assert_eq!(
        page.eval("document.activeElement.ariaExpanded").await,
        "true"
    );
    assert_ne!(outline(&mut page).await, "none");
    assert_eq!(page.complaints, [""; 0]);
    drop(page);
    stack.finish().await;
}

/// The flow of a request that makes an invoice at Stripe, of which webhooks told meanwhile.
async fn billed(stack: &TestStack) -> Value {
    let (uppsala, _) = stack.onboarded("Uppsala").await;
    stack.invoice(uppsala, 129_900).await;
    stack.settle().await;
    let request = format!("POST /api/admin/universities/{uppsala}/invoices");
    stack.flow(&request).await
}

/// The text of what has the focus, which must be seen.
async fn focused(page: &mut Browser) -> Value {
    assert_ne!(outline(page).await, "none");
    page.eval("document.activeElement.firstChild?.textContent")
        .await
}

async fn outline(page: &mut Browser) -> Value {
    page.eval("getComputedStyle(document.activeElement).outlineStyle")
        .await
}

#[tokio::test]
async fn every_section_fits_a_phone_and_reads_light_and_dark() {
    let Some(mut page) = browser().await else {
        return;
    };
    let stack = TestStack::start().await;
    let flow = billed(&stack).await;
    let follows = &flow["led_to"][0];
    let [flow, follows] = [&flow, follows].map(|it| format!("timeline/{}", text(&it["id"])));
    let mut grounds = Vec::new();
    for (width, scheme) in [(1280, "light"), (390, "dark"), (390, "light")] {
        page.look(width, scheme).await;
        for section in SECTIONS.into_iter().chain([&*flow, &follows]) {
            page.open(&format!("{}/_console#{section}", stack.info().api_url))
                .await;
            page.until("document.querySelector('.row, .item, .card, .none')")
                .await;
            let sizes = "[document.documentElement, ...document.querySelectorAll('main, .flow')]
                .map((it) => it.scrollWidth - it.clientWidth)";
            let over = page.eval(sizes).await;
            let over = over.as_array().expect("a list");
            assert!(
                over.iter().all(|it| *it == 0),
                "{section} at {width}: {over:?}"
            );
            let nameless = "[...document.querySelectorAll('button, a, input, iframe')]
                .filter((it) => !(it.textContent.trim() || it.ariaLabel || it.title || it.labels?.length))
                .map((it) => it.outerHTML)";
            assert_eq!(page.eval(nameless).await, json!([]), "{section}");
        }
        assert_eq!(page.eval(CONTRAST).await, json!([]), "{scheme}");
        grounds.push(
            page.eval("getComputedStyle(document.body).backgroundColor")
                .await,
        );
    }
    assert_eq!(grounds[0], grounds[2]);
    assert_ne!(grounds[0], grounds[1], "dark is not light");
    assert_eq!(page.complaints, [""; 0]);
    drop(page);
    stack.finish().await;
}

#[tokio::test]
async fn links_lead_from_a_call_to_its_webhooks_and_back() {
    let Some(mut page) = browser().await else {
        return;
    };
    let stack = TestStack::start().await;
    let made = billed(&stack).await;
    let [first, ..] = &made["led_to"].as_array().expect("a list")[..] else {
        panic!("{made:#}");
    };
    let is_shown = |flow: &Value| format!("document.querySelector('.flow').dataset.id === {flow}");
    page.look(1280, "light").await;
    let console = format!("{}/_console", stack.info().api_url);
    page.open(&format!("{console}#timeline/{}", text(&made["id"])))
        .await;
    page.until(&is_shown(&made["id"])).await;
    assert_eq!(nav(&mut page, "Follows from").await, json!(null));
    let led = nav(&mut page, "Led to").await;
    let led = led.as_array().expect("links");
    assert!(text(&led[0]).contains(&text(&first["about"])), "{led:?}");

    // There and back again, with the keyboard.
    page.eval("document.querySelector('.flow h2').focus()")
        .await;
    tab_to(&mut page, "Led to").await;
    page.press("Enter").await;
    page.until(&is_shown(&first["id"])).await;
    page.until("document.activeElement.matches('.flow h2')")
        .await;
    let from = nav(&mut page, "Follows from").await;
    let from = from.as_array().expect("a link");
    assert_eq!(from.len(), 1, "{from:?}");
    assert!(text(&from[0]).contains("by POST /invoices"), "{from:?}");
    tab_to(&mut page, "Follows from").await;
    page.press("Enter").await;
    page.until(&is_shown(&made["id"])).await;
    page.until("document.activeElement.matches('.flow h2')")
        .await;

    // The call itself leads there, too.
    let row = format!("[data-focus=\"span {}\"]", first["span"]);
    page.eval(&format!("document.querySelector('{row}').click()"))
        .await;
    let link = format!(
        "document.querySelector('.more .links a[href$=\"{}\"]')",
        text(&first["id"])
    );
    page.until(&link).await;
    assert_eq!(page.complaints, [""; 0]);
    drop(page);
    stack.finish().await;
}

/// The texts of a flow's links of this name.
async fn nav(page: &mut Browser, name: &str) -> Value {
    let links = format!("[...document.querySelectorAll('.head nav[aria-label=\"{name}\"] a')]");
    page.eval(&format!(
        "{links}.length ? {links}.map((it) => it.textContent) : null"
    ))
    .await
}

/// Presses Tab until the focus is on the first of these links, where it must be seen.
async fn tab_to(page: &mut Browser, name: &str) {
    let is_there = format!("document.activeElement.matches('.head nav[aria-label=\"{name}\"] a')");
    for _ in 0..8 {
        page.press("Tab").await;
        if page.eval(&is_there).await == true {
            assert_ne!(outline(page).await, "none");
            return;
        }
    }
    panic!("{name} is out of the keyboard's reach");
}

#[tokio::test]
async fn buttons_do_what_they_say() {
    let Some(mut page) = browser().await else {
        return;
    };
    let stack = TestStack::start().await;
    let (uppsala, _) = stack.onboarded("Uppsala").await;
    let (_, invoice) = stack.invoice(uppsala, 129_900).await;
    stack.settle().await;
    let console = format!("{}/_console", stack.info().api_url);
    page.look(1280, "light").await;
    page.open(&format!("{console}#stripe")).await;
    page.until("document.querySelector('button.pay:not(:disabled)')")
        .await;
    page.eval("document.querySelector('button.pay').click()")
        .await;
    page.until("document.querySelector('.pill.paid')").await;
    page.until("document.querySelector('.toast.ok')?.textContent.includes('is paid.')")
        .await;
    let paid = stack.stripe.object(&invoice).expect("an invoice");
    assert_eq!(paid["status"], "paid");
    page.open(&format!("{console}#samples")).await;
    page.until("document.querySelector('[aria-label=\"Send list to universities-api\"]')")
        .await;
    page.eval("document.querySelector('[aria-label=\"Send list to universities-api\"]').click()")
        .await;
    page.until("document.querySelector('.toast a')").await;
    page.eval("document.querySelector('.toast a').click()")
        .await;
    page.until(
        "document.querySelector('.flow h2')?.textContent.includes('Invoke universities-api')",
    )
    .await;
    page.open(&format!("{console}#schedules")).await;
    page.until("document.querySelector('[aria-label=\"Fire sweep-outbox-job\"]')")
        .await;
    page.eval("document.querySelector('#due').value = ''; document.querySelector('[aria-label=\"Fire sweep-outbox-job\"]').click()").await;
    page.until("document.querySelector('.toast.bad')?.textContent.includes('at what time')")
        .await;
    page.open(&format!("{console}#mails")).await;
    page.until("document.querySelector('.mail iframe')").await;
    assert_eq!(page.complaints, [""; 0]);
    drop(page);
    stack.settle().await;
    stack.finish().await;
}
