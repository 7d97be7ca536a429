//! What the samples are about: the university, its bills, and what stands in for Stripe's ids.

use bitflow_domain::billing::payment::{Payment, PaymentStatus};
use bitflow_domain::billing::subscription::{ManualPlan, Subscription};
use bitflow_domain::contact::{DomainName, EmailAddress};
use bitflow_domain::decision::Decision;
use bitflow_domain::id::{InvoiceId, NotificationId, PaymentId, SubscriptionId, UniversityId};
use bitflow_domain::money::{Currency, Money};
use bitflow_domain::notification::delivery::Delivery;
use bitflow_domain::notification::{Notice, NoticeMessage, NoticeTitle, Notification};
use bitflow_domain::secret::PortalSecrets;
use bitflow_domain::university::{NewUniversity, StorageQuota, University, UniversityName};
use bitflow_domain::version::Version;
use bitflow_store::deliveries::Deliveries;
use bitflow_store::notifications::Notifications;
use bitflow_store::payments::Payments;
use bitflow_store::transaction::Transaction;
use bitflow_store::universities::Universities;
use uuid::Uuid;

use crate::support::{TestStack, real_now, text, time};

/// `01900000-0000-7000-8000-00000000000n`.
const fn sample(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)
}

/// The university that the samples are about.
pub(crate) const UNIVERSITY: UniversityId = UniversityId::from_uuid(sample(1));
/// What its portal signs with.
pub(crate) const PORTAL_SECRET: &str = "psk_sample";
/// An invoice of it that is not paid.
pub(crate) const INVOICE: InvoiceId = InvoiceId::from_uuid(sample(2));
/// Its manual plan.
pub(crate) const PLAN: SubscriptionId = SubscriptionId::from_uuid(sample(3));
/// An invoice of it that is paid.
pub(crate) const PAID_INVOICE: InvoiceId = InvoiceId::from_uuid(sample(5));

/// A notification.
const NOTIFICATION: NotificationId = NotificationId::from_uuid(sample(8));
/// The subject of the mail of one.
pub(crate) const DOWNTIME: &str = "Scheduled Maintenance: 1 February 2099, 02:00 UTC";

/// What an invoice asks for, cents.
const AMOUNT: i64 = 129_900;

/// A stack with the university.
pub(crate) struct World {
    pub(crate) stack: TestStack,
    /// Its customer at Stripe.
    pub(crate) customer: String,
    /// Ids that the samples have, and the ones that Stripe gave instead.
    stand_ins: Vec<(&'static str, String)>,
}

impl World {
    /// The university without a customer at Stripe.
    pub(crate) async fn before_stripe() -> Self {
        Self::before_stripe_on(TestStack::start().await).await
    }

    pub(crate) async fn before_stripe_on(stack: TestStack) -> Self {
        let world = Self {
            stack,
            customer: String::new(),
            stand_ins: Vec::new(),
        };
        world.insert_university(None).await;
        world
    }

    /// The university with its customer.
    pub(crate) async fn start() -> Self {
        Self::start_on(TestStack::start().await).await
    }

    pub(crate) async fn start_on(stack: TestStack) -> Self {
        let form = format!("name=Sample&metadata[university_id]={UNIVERSITY}");
        let customer = stack.stripe.create("customers", &form);
        let customer = text(&customer.expect("a customer")["id"]);
        let world = Self {
            stack,
            stand_ins: vec![("cus_sample", customer.clone())],
            customer,
        };
        world.insert_university(Some(world.customer.clone())).await;
        world
    }

    async fn insert_university(&self, stripe_customer_id: Option<String>) {
        let new = NewUniversity {
            name: UniversityName::parse("Sample").expect("a name"),
            primary_email: EmailAddress::parse("registrar@sample.example").expect("an address"),
            domain: DomainName::parse("portal.sample.example").expect("a domain"),
            storage_quota: StorageQuota::from_bytes(1).expect("a quota"),
        };
        let secrets = PortalSecrets::new(PORTAL_SECRET.to_owned().into());
        let university = University {
            stripe_customer_id,
            ..University::onboard(UNIVERSITY, new, secrets, real_now())
        };
        self.insert(|transaction| self.universities().insert(transaction, &university))
            .await;
    }

    /// The manual plan, made at a time: billing begins with the next 1st.
    pub(crate) async fn insert_plan(&self, made_at: &str) {
        let plan = manual_plan(made_at);
        self.insert(|transaction| self.stack.subscriptions().insert(transaction, &plan))
            .await;
    }

    /// The same, cancelled for the end of its first month.
    pub(crate) async fn insert_ending_plan(&self, made_at: &str) {
        let Decision::Apply(plan) = manual_plan(made_at).cancelled(true, time(made_at)) else {
            panic!("a plan that was just made can be cancelled")
        };
        self.insert(|transaction| self.stack.subscriptions().insert(transaction, &plan))
            .await;
    }

    /// The notification, which nobody announced yet.
    pub(crate) async fn insert_notification(&self) {
        let notice = Notice {
            title: NoticeTitle::parse("Scheduled Maintenance").expect("a title"),
            message: NoticeMessage::parse("System will be down for 2 hours").expect("a message"),
            scheduled_at: time("2099-02-01T02:00:00Z"),
        };
        let at = time("2025-12-31T00:00:00Z");
        let notification = Notification::new(NOTIFICATION, notice, "sample-admin", at);
        let table = Notifications::new(&self.stack.dynamo(), self.stack.name("notifications"));
        self.insert(|transaction| table.insert(transaction, &notification))
            .await;
    }

    /// Its delivery, which nobody tried yet.
    pub(crate) async fn insert_delivery(&self) {
        let at = time("2025-12-31T00:00:00Z");
        let delivery = Delivery {
            // It is tried for a day from then, by the functions' clock.
            created_at: real_now(),
            ..Delivery::announced(NOTIFICATION, UNIVERSITY, "sample-request", at)
        };
        let table = Deliveries::new(&self.stack.dynamo(), self.stack.name("deliveries"));
        self.insert(|transaction| table.insert(transaction, &delivery))
            .await;
    }

    /// The payment of the paid invoice, as a webhook leaves it that does not say how it was paid.
    pub(crate) async fn insert_payment(&self) {
        let payment = Payment {
            id: PaymentId::of_invoice(PAID_INVOICE),
            university_id: UNIVERSITY,
            invoice_id: PAID_INVOICE,
            amount: Money::new(AMOUNT, Currency::USD),
            amount_refunded: 0,
            method: None,
            stripe_payment_intent_id: None,
            status: PaymentStatus::Completed,
            disputed_at: None,
            paid_at: time("2026-01-01T00:00:00Z"),
            version: Version::FIRST,
        };
        let payments = Payments::new(&self.stack.dynamo(), self.stack.name("payments"));
        self.insert(|transaction| payments.insert(transaction, &payment))
            .await;
    }

    async fn insert(&self, add: impl FnOnce(&mut Transaction)) {
        let mut transaction = Transaction::new(&self.stack.dynamo());
        add(&mut transaction);
        transaction.commit().await.expect("inserted");
    }

    /// The unpaid invoice, made at Stripe; its webhooks bring it. Due at a time, or at once.
    pub(crate) async fn make_invoice(&self, due_at: Option<&str>) {
        let terms = due_at.map_or_else(String::new, |at| {
            let seconds = time(at).as_second();
            format!("&collection_method=send_invoice&due_date={seconds}")
        });
        let metadata = format!("&metadata[invoice_id]={INVOICE}");
        self.invoice_at_stripe(&(metadata + &terms));
        self.stack.settle().await;
    }

    /// An invoice and its payment at Stripe, of which nothing was told yet: they stand in for the
    /// samples' `in_sample_1` and `pi_sample_1`.
    pub(crate) fn pay_untold_invoice(&mut self) {
        self.stack.stripe.hold_deliveries();
        let invoice = self.invoice_at_stripe("");
        self.stack.stripe.pay(&invoice).expect("paid");
        let intents = self.stack.stripe.objects("payment_intent");
        let intent = text(&intents.first().expect("an intent")["id"]);
        let stand_ins = [("in_sample_1", invoice), ("pi_sample_1", intent)];
        self.stand_ins.extend(stand_ins);
    }

    /// A price that stands in for the samples' `price_1Sample`.
    pub(crate) fn make_price(&mut self) {
        let price = self.stack.price(9900, "usd");
        self.stand_ins.push(("price_1Sample", price));
    }

    /// An open invoice at Stripe; its id there.
    fn invoice_at_stripe(&self, more: &str) -> String {
        let create = |path: &str, form: &str| {
            let made = self.stack.stripe.create(path, form);
            text(&made.expect("made at Stripe")["id"])
        };
        let customer = &self.customer;
        let form = format!("customer={customer}&metadata[university_id]={UNIVERSITY}{more}");
        let id = create("invoices", &form);
        let form = format!("customer={customer}&invoice={id}&amount={AMOUNT}&currency=usd");
        create("invoiceitems", &form);
        create(&format!("invoices/{id}/finalize"), "")
    }

    /// A sample's text with the ids that Stripe gave.
    pub(crate) fn with_stand_ins(&self, sample: String) -> String {
        let replace = |text: String, (id, given): &(&str, String)| text.replace(id, given);
        self.stand_ins.iter().fold(sample, replace)
    }

    pub(crate) fn universities(&self) -> Universities {
        Universities::new(&self.stack.dynamo(), self.stack.name("universities"))
    }

    /// The university as it is now.
    pub(crate) async fn university(&self) -> University {
        let stored = self.universities().get(UNIVERSITY).await;
        stored.expect("read").expect("there")
    }

    /// The manual plan as it is now.
    pub(crate) async fn plan(&self) -> Subscription {
        let stored = self.stack.subscriptions().get(UNIVERSITY, PLAN).await;
        stored.expect("read").expect("there")
    }

    /// How many invoices the university has at Stripe.
    pub(crate) fn invoices_at_stripe(&self) -> usize {
        let invoices = self.stack.stripe.objects_of("invoice", &self.customer);
        invoices.len()
    }

    /// Sees to it that the manual plan has one invoice, at Stripe and in our books, up to `end`.
    pub(crate) async fn is_billed_until(&self, end: &str) {
        assert_eq!(self.invoices_at_stripe(), 1);
        assert_eq!(self.stack.rows("invoices").await.len(), 1);
        assert_eq!(self.plan().await.terms.current_period_end, time(end));
        assert_eq!(self.stack.events(UNIVERSITY).await, ["InvoiceGenerated"]);
    }

    /// What was mailed, oldest first.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let mails = self.stack.mails().into_iter();
        mails.map(|mail| mail.subject).collect()
    }
}

fn manual_plan(made_at: &str) -> Subscription {
    let plan = ManualPlan {
        amount: Money::new(249_900, Currency::USD),
        description: "Campus".to_owned(),
        days_until_due: Some(30),
    };
    Subscription::manual(PLAN, UNIVERSITY, plan, time(made_at))
}
