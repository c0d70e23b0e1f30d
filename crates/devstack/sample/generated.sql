-- Functions behind the generated tables. Everything follows from md5 of seed and number: the same table on every
-- machine and every version of PostgreSQL, no random().
create schema if not exists generated;

create type generated.stage as enum ('new', 'in review', 'approved', 'shipped', 'on hold', 'cancelled');

-- 28 bits that depend on nothing but the hexadecimal digits from a place on.
create function generated.bits(digits text, place integer) returns integer
    language sql immutable strict parallel safe
    return ('x' || substr(digits, place, 7))::bit(28)::integer;

-- One element, chosen by the digits.
create function generated.one_of(digits text, place integer, choices text[]) returns text
    language sql immutable strict parallel safe
    return choices[generated.bits(digits, place) % cardinality(choices) + 1];

-- What people write: cut out of a text of many scripts, so that lengths and characters differ from row to row.
create function generated.prose(digits text, place integer, longest integer) returns text
    language sql immutable strict parallel safe
    return btrim(substr(
        'Called back, wants the offer in writing. Größe prüfen, Maße laut Zeichnung 40 × 60 cm. Livraison prévue à '
        'l’été, sous réserve d’acceptation. Pagado por adelantado; falta la dirección de envío. 客户要求提前交货，请确认库存。'
        ' Проверить счёт и адрес. Δεν απάντησε στο τηλέφωνο. Zażółć gęślą jaźń — tylko test polskich liter. '
        'Two pallets, one damaged 📦; photos are in the folder. Naïve façade, smörgåsbord & crème brûlée (100 %). '
        'Ask <Anna> about "priority"; price is 5 < 7 > 3 and A&B. अगले सप्ताह फिर से संपर्क करें। 担当者に連絡済み。 '
        'Line with a tab	inside, and one more sentence so that long notes are long: the quick brown fox jumps over '
        'the lazy dog while nobody watches the clock, and the invoice goes out on the last working day of the month.',
        1 + generated.bits(digits, place) % 300, 1 + generated.bits(digits, place + 3) % longest));
