-- Fills the sample company. Everything follows from row numbers through company.pick: no clock, no random().
-- Besides the ordinary rows there are deliberately awkward ones: several scripts, combining accents, emoji,
-- text that looks like HTML or formulas, quotes, line breaks, trailing blanks, leap days, extreme numbers, NULLs.

insert into company.people
    (id, full_name, email, job_title, department, office, phone, hired_on, left_on, active, weekly_hours, about)
select
    md5('person ' || i)::uuid,
    case
        when i % 50 = 7 then company.pick_of('east ' || i,
            array['佐藤 美咲', '王 小明', '김 서연', 'Ольга Кузнецова', 'Γιώργος Παπαδόπουλος', 'محمد الفارسي', 'नेहा शर्मा', 'דנה לוי'])
        when i = 100 then 'Zoë 🌻 van ’t Hoff'
        when i = 101 then 'Renée O''Brien-"Müller"'
        when i = 102 then E'Ame\u0301lie Noe\u0308l'  -- accents as combining characters
        when i = 103 then 'Robert <Bob> & Söhne'
        else company.pick_of('given ' || i, array[
                'Anna', 'Björn', 'Chloé', 'Dario', 'Elif', 'François', 'Grażyna', 'Håkon', 'Inês', 'Jürgen', 'Katarína',
                'Łukasz', 'María', 'Niamh', 'Özlem', 'Přemysl', 'Quentin', 'Røskva', 'Siân', 'Tomáš', 'Ulla', 'Věra',
                'Wojciech', 'Xenia', 'Yasmin', 'Žofie'])
            || ' ' || company.pick_of('family ' || i, array[
                'Ångström', 'Brandt', 'Çelik', 'Dvořák', 'Eriksen', 'Fernández', 'Groß', 'Hansen', 'Ibáñez', 'Jónsdóttir',
                'Kowalski', 'Lefèvre', 'Möller', 'Nuñez', 'O''Connor', 'Pérez', 'Quist', 'Rossi', 'Šimůnek', 'Tóth',
                'Ünal', 'Virtanen', 'Weiß', 'Yılmaz', 'Zieliński'])
    end,
    'p' || to_char(i, 'FM0000') || '@company.example',
    nullif(company.pick_of('job ' || i, array[
        'Engineer', 'Senior engineer', 'Designer', 'Buyer', 'Accountant', 'Project manager', 'Team lead', 'Lawyer',
        'Technician', 'Analyst', 'Head of department', 'Trainee', '']), ''),
    company.pick_of('department ' || i, array[
        'Research & Development', 'Production', 'Sales', 'Purchasing', 'Finance', 'Legal', 'People', 'IT', 'Qualität']),
    nullif(company.pick_of('office ' || i, array[
        'Köln', 'Malmö', 'Łódź', 'São Paulo', 'Genève', '東京', 'Reykjavík', '']), ''),
    case when i % 6 = 0 then null
         else '+49 221 ' || to_char(100000 + company.pick('phone ' || i, 900000), 'FM000 000') end,
    case when i % 173 = 0 then date '2024-02-29' else date '1999-12-31' + company.pick('hired ' || i, 9100) end,
    case when i % 16 = 0 then date '2025-01-31' + company.pick('left ' || i, 240) end,
    i % 16 <> 0,
    case when i % 29 = 0 then null else (array[40, 40, 40, 38.5, 35, 32, 20, 19.5])[1 + company.pick('hours ' || i, 8)] end,
    case
        when i % 5 <> 0 then null
        when i % 45 = 0 then E'Sails, sings, and says "no" politely.\n\nAsk me about:\n\t- bearings\n\t- bread\n\t- Bach 🎶'
        when i % 40 = 0 then E'<b>Not</b> bold: <script>alert("hi")</script> & friends\r\nC:\\temp\\new ends with two blanks  '
        else company.pick_of('about ' || i, array[
            'Joined from the apprentice scheme.', 'Speaks four languages, two of them well.',
            'Looks after the test stand in hall 3.', 'Früher Bäcker, heute Einkauf.', 'Travaille à distance trois jours par semaine.'])
    end
from generate_series(1, 900) as i;

-- Heads of department are among the first 45 and still here; everybody else reports to one of them.
update company.people as p
set manager_id = md5('person ' || (1 + company.pick('boss ' || p.id, 15)))::uuid
where p.id not in (select md5('person ' || i)::uuid from generate_series(1, 15) as i);

insert into company.projects
    (code, name, description, status, lead_id, budget, progress_percent, risk_score, confidential, starts_on, ends_on, updated_at)
select
    'PRJ-' || to_char(i, 'FM00000'),
    case i
        when 42 then 'The answer 🚀 (phase 2)'
        when 43 then '<untitled> & "quoted"'
        when 44 then '新しい倉庫管理システム'
        when 45 then 'Ερευνα: ' || repeat('long name ', 20) || 'end'
        when 46 then '=SUM(A1:A3)'
        else company.pick_of('what ' || i, array['Renewal', 'Roll-out', 'Study', 'Retrofit', 'Relocation', 'Audit', 'Pilot', 'Umbau', 'Rénovation'])
            || ' ' || company.pick_of('of ' || i, array[
                'pump line', 'warehouse north', 'paint shop', 'ERP interface', 'café & canteen', 'safety training', 'test rig',
                'solar roof', 'customer portal', 'Fräszentrum', 'supplier rating', 'energy metering'])
            || ' ' || (2019 + company.pick('year ' || i, 8))
    end,
    case
        when i % 7 = 0 then null
        when i % 11 = 0 then E'Aim:\n  reduce scrap by 12.5 %.\n\nScope:\n  - line 1 & line 2\n  - <none> of line 3\n\n"Done" means: signed off by Qualität.'
        when i % 60 = 1 then repeat('Background, measured on site over several weeks: the flow varies with the season. ', 60)
        else company.pick_of('aim ' || i, array[
            'Replace what has no spare parts any more.', 'Find out whether it pays.', 'Asked for by three customers.',
            'Vorgabe der Behörde, Frist läuft.', 'Follows from the last audit.', 'Coût partagé avec la commune.'])
    end,
    (array['idea', 'planned', 'running', 'running', 'running', 'on hold', 'finished', 'finished', 'cancelled']::company.project_status[])
        [1 + company.pick('status ' || i, 9)],
    case when i % 13 = 0 then null else md5('person ' || lead)::uuid end,
    case when i % 17 = 0 then null
         when i = 50 then 999999999999.99
         when i = 51 then 0.00
         when i = 52 then 0.01
         else (company.pick('budget ' || i, 90000000) + 100000) / 100.0 end,
    company.pick('progress ' || i, 101),
    case when i % 9 = 0 then null when i = 53 then 0.1 when i = 54 then 1e-9 else company.pick('risk ' || i, 1000) / 997.0::double precision end,
    i % 31 = 0,
    case when i % 19 = 0 then null when i % 96 = 5 then date '2024-02-29' else date '2019-01-01' + company.pick('start ' || i, 2400) end,
    case when i % 4 = 0 then null when i % 96 = 6 then date '2028-02-29' else date '2026-01-01' + company.pick('end ' || i, 1200) end,
    timestamptz '2025-01-01 06:00:00+00' + i * interval '7 hours 13 minutes 20.123456 seconds'
from (
    select i, lead + (lead % 16 = 0)::integer as lead  -- whose number divides by 16 has left
    from (select i, 1 + company.pick('lead ' || i, 880) as lead from generate_series(1, 600) as i) as chosen
) as numbered;

insert into company.contracts
    (project_code, number, counterparty, subject, value, currency, status, signed_on, valid_from, valid_until, auto_renews, remarks, updated_at)
select
    'PRJ-' || to_char(1 + (i - 1) % 600, 'FM00000'),
    1 + (i - 1) / 600,
    company.pick_of('party ' || i, array[
        'Ångström & Søn A/S', 'Müller GmbH & Co. KG', 'Société Générale d’Essais', '株式会社サンプル', 'Kovárna Žďár s.r.o.',
        'O''Leary Ltd', 'Grupo Peñarol S.A.', 'Öztürk Makina A.Ş.', 'Łódzkie Zakłady "Wir"', 'Northwind Bearings', 'ООО Пример']),
    company.pick_of('subject ' || i, array[
        'Delivery and assembly', 'Maintenance', 'Framework agreement', 'Licence', 'Lease', 'Consulting', 'Non-disclosure', 'Werkvertrag']),
    case i when 1 then 999999999999.99 when 2 then 0.00 when 3 then 0.01 when 4 then 1234567.80
           else (company.pick('value ' || i, 200000000) + 5000) / 100.0 end,
    company.pick_of('currency ' || i, array['EUR', 'EUR', 'EUR', 'CHF', 'USD', 'SEK', 'JPY']),
    status,
    case when status in ('draft', 'in negotiation') then null
         when i % 250 = 0 then date '2024-02-29' else date '2020-01-01' + company.pick('signed ' || i, 2100) end,
    date '2020-02-01' + company.pick('from ' || i, 2100),
    case when i % 5 = 0 then null when i % 301 = 7 then date '9999-12-31' else date '2026-02-01' + company.pick('until ' || i, 1500) end,
    case when i % 3 = 0 then null else i % 2 = 0 end,
    case
        when i % 4 <> 0 then null
        when i % 100 = 0 then E'§ 3: liability "as agreed"\n§ 7: see <annex 2>; 100 % up front\n\n-- signed --'
        else company.pick_of('remark ' || i, array[
            'Price fixed until the end of term.', 'Notice three months to the end of a quarter.', 'Kündigung nur schriftlich.',
            'Penalty 0.5 % a week, 5 % at most.', 'Sous réserve d’approbation.  '])
    end,
    timestamptz '2025-02-01 07:00:00+00' + i * interval '4 hours 11 minutes 7.5 seconds'
from (
    select i, (array['draft', 'in negotiation', 'signed', 'signed', 'signed', 'expired', 'terminated']::company.contract_status[])
                  [1 + company.pick('contract status ' || i, 7)] as status
    from generate_series(1, 1500) as i
) as numbered;

insert into company.tasks
    (project_code, title, details, state, priority, blocked, assignee_id, estimate_hours, due_at, done_at, updated_at)
select
    'PRJ-' || to_char(1 + company.pick('project ' || i, 600), 'FM00000'),
    case
        when i % 800 = 5 then '🛠️ Fix the "impossible" case <now>'
        when i % 800 = 6 then '確認: 図面の最新版'
        when i % 800 = 7 then '  two blanks before and after  '
        else company.pick_of('verb ' || i, array['Order', 'Check', 'Draw', 'Install', 'Measure', 'Discuss', 'Approve', 'Übersetzen:', 'Vérifier'])
            || ' ' || company.pick_of('object ' || i, array[
                'spare valves', 'drawing rev. C', 'cable tray', 'minutes of meeting', 'site visit', 'invoice', 'CE declaration',
                'backup power', 'training plan', 'paint sample', 'Schaltschrank', 'bill of materials'])
            || ' #' || i
    end,
    case
        when i % 3 = 0 then null
        when i % 400 = 1 then repeat(E'Step by step:\n1. switch off & lock\n2. measure <5 V\n3. write it down, "as found"\n', 110)
        when i % 50 = 2 then E'Call first: +46 40 123.\n\nThen:\n\t* bring key "B"\n\t* park at gate 3\n\n<p>not a paragraph</p> 🙂'
        else company.pick_of('detail ' || i, array[
            'As discussed on site.', 'Supplier answers slowly, ask twice.', 'Only with the shift leader.',
            'Bitte Fotos machen: vorher/nachher.', 'Voir la pièce jointe.', 'Waits for the permit.'])
            || ' Ref. ' || substr(md5('ref ' || i), 1, 10)
    end,
    state,
    1 + company.pick('priority ' || i, 5),
    case when i % 4 = 0 then null else i % 9 = 0 end,
    case when i % 8 = 0 then null else md5('person ' || who)::uuid end,
    case when i % 6 = 0 then null when i % 700 = 0 then 9999.99 else (company.pick('estimate ' || i, 16000) + 25) / 100.0 end,
    case when i % 5 = 0 then null
         when i % 640 = 8 then timestamptz '2028-02-29 23:59:59.999999+00'
         else timestamptz '2026-01-01 00:00:00+00' + company.pick('due ' || i, 500000) * interval '1 minute' end,
    case when state = 'done' then timestamptz '2025-03-01 00:00:00+00' + company.pick('done ' || i, 400000) * interval '1 minute 0.25 seconds' end,
    -- Nearly everything came over in one import and bears its one time; the rest was changed by hand later.
    case when i <= 2500 then timestamptz '2025-06-30 22:00:00+00'
         else timestamptz '2025-07-01 05:00:00+00' + i * interval '9 minutes 0.000777 seconds' end
from (
    select i, state, who + (who % 16 = 0)::integer as who
    from (
        select i,
               (array['open', 'open', 'in progress', 'waiting', 'done', 'done', 'done', 'dropped']::company.task_state[])
                   [1 + company.pick('state ' || i, 8)] as state,
               1 + company.pick('assignee ' || i, 880) as who
        from generate_series(1, 3200) as i
    ) as chosen
    order by i
) as numbered;
