"""Made-up mail of both kinds, in English and Japanese, for tests of what learns.

No two letters are alike, and the kinds share most of their words: wanted mail speaks of money, offers and accounts, too, and some unwanted
mail is padded with words of wanted mail. Charsets, encodings, HTML, attachments and programs vary independently of the kind.
"""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Iterator
from quopri import encodestring
from typing import NamedTuple


class Letter(NamedTuple):
    """One message. language: en or ja."""

    raw: bytes
    is_spam: bool
    language: str


_EN_PEOPLE = ["Anna", "Bruno", "Chiara", "David", "Emma", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Liam", "Mara", "Noah", "Olga"]
_EN_COMMON = [
    "please let me know if anything is unclear", "thank you for your message", "have a good day", "I hope you are well",
    "see the details below", "we look forward to hearing from you", "the order and the account are up to date",
    "this is free for all members until the end of the month", "the price is {n} USD", "you can reply to this mail at any time",
    "there is a new offer on the page", "your account was updated on {day}", "click the link if you want to read more",
]  # fmt: skip
_EN_HAM = [
    "the meeting about {thing} moves to {day} at {n}", "could you review my patch for the {thing} before {day}",
    "I attached the minutes and the budget of the {thing}", "shall we have lunch on {day} with {person}",
    "the train to the conference leaves at {n}", "{person} has commented on your pull request number {n}",
    "grandmother sends her love and asks when you visit", "the invoice {n} for the workshop is attached, payable in thirty days",
    "the children have a concert at school on {day}", "I pushed the branch and the tests are green again",
    "your library books are due on {day}", "the landlord will repair the heating on {day}",
    "we discussed the schema of the {thing} and agreed on a draft", "the newsletter of the choir: rehearsal on {day}, bring the score",
    "the garden club offers tomato plants, free for members", "my flight lands at {n}, can {person} pick me up",
    "the release candidate of the {thing} is ready for testing", "please sign the lease and send a scan to {person}",
]  # fmt: skip
_EN_SPAM = [
    "congratulations, you have been selected to receive {n} dollars", "act now, this limited offer expires in {n} hours",
    "lose weight in {n} days without any exercise, doctors are amazed", "cheap pills without prescription, discreet shipping worldwide",
    "your mailbox quota is exceeded, verify your password immediately", "double your bitcoin in {n} days with our guaranteed trading robot",
    "I am a barrister and need your confidential help to transfer {n} million", "hot singles in your area want to meet you tonight",
    "claim your casino bonus of {n} free spins today", "your parcel could not be delivered, pay the customs fee of {n} dollars",
    "we can bring your website to the first place of all search engines", "no credit check, your loan of {n} dollars is approved",
    "replica watches and designer handbags, ninety percent off", "unusual activity was detected, confirm your bank details or be suspended",
    "make {n} dollars a week working from home, no experience needed", "your antivirus licence has expired, renew to avoid data loss",
]  # fmt: skip
_EN_THINGS = ["mail server", "garden fence", "annual report", "parser", "library", "kitchen", "choir", "database", "summer party", "roof"]
_EN_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "the 3rd", "the 17th", "tomorrow"]
_EN_HAM_SUBJECTS = ["Re: {thing}", "Minutes of {day}", "Lunch on {day}?", "Invoice {n}", "Your offer", "[{thing}] notes", "Account update"]
_EN_SPAM_SUBJECTS = ["You won {n} USD", "Last chance: ends {day}", "Account suspended", "Re: your loan", "Invoice {n} overdue", "Hello"]

_JA_PEOPLE = ["田中", "佐藤", "鈴木", "高橋", "伊藤", "渡辺", "山本", "中村", "小林", "加藤", "吉田", "山田"]
_JA_COMMON = [
    "お世話になっております。", "よろしくお願いいたします。", "ご確認ください。", "詳細は以下のとおりです。",
    "いつもご利用ありがとうございます。", "料金は{n}円です。", "登録は無料です。", "ご不明な点がございましたらご連絡ください。",
    "リンク先のページをご覧ください。", "アカウントの情報を{day}に更新しました。", "キャンペーンのお知らせです。",
]  # fmt: skip
_JA_HAM = [
    "{day}の会議の資料を添付いたします。", "{thing}の見積書をお送りしますのでご査収ください。",
    "来週の出張の日程について{person}さんと相談しました。", "保育園の運動会は{day}に延期になりました。",
    "プルリクエスト{n}番にコメントしましたのでレビューをお願いします。", "母の誕生日に何を贈ろうか考えています。",
    "{thing}の設計書の第{n}版を共有します。", "町内会の清掃は{day}の朝八時からです。", "図書館で予約された本の準備ができました。",
    "請求書番号{n}の入金を確認いたしました。", "テストがすべて通ったのでブランチをマージしました。",
    "{person}さんの送別会は{day}に駅前の居酒屋で行います。", "新幹線は{n}番線から発車します。",
    "庭のトマトがたくさん採れたので少し送ります。", "{thing}の不具合の原因が分かりましたので報告します。",
    "合唱団の練習は{day}の夜に変更になりました。",
]  # fmt: skip
_JA_SPAM = [
    "おめでとうございます。高額当選{n}万円の受取手続きが未完了です。",
    "お客様のカードは第三者の不正利用の疑いで利用停止となりました。",
    "至急、下記より本人確認を完了してください。二十四時間以内に凍結されます。",
    "スマホだけで月収{n}万円、誰でも簡単に稼げる副業です。", "完全無料の出会い系で今すぐ素敵な人妻と会えます。",
    "必ず儲かる仮想通貨の自動売買、元本保証で利回り{n}パーセント。",
    "お荷物をお届けしましたが不在のため持ち帰りました。再配達の手数料{n}円をお支払いください。",
    "激安ブランド時計、コピー品最高級、送料無料。", "審査なし、即日融資{n}万円、ブラックの方も歓迎。",
    "一週間で{n}キロ痩せる奇跡のサプリ、初回限定価格。", "未納料金が発生しております。本日中にご連絡なき場合は法的措置を取ります。",
    "オンラインカジノの入金不要ボーナス{n}ドルを今すぐ獲得。",
    "あなたのパソコンはウイルスに感染しています。直ちにサポートに電話してください。",
    "競馬の極秘情報、的中率{n}パーセントを保証します。",
]  # fmt: skip
_JA_THINGS = ["新システム", "年次報告", "メールサーバー", "研修", "社員旅行", "倉庫", "検索機能", "展示会"]
_JA_DAYS = ["月曜日", "火曜日", "水曜日", "木曜日", "金曜日", "明日", "三日", "十七日"]
_JA_HAM_SUBJECTS = ["{thing}の件", "Re: {day}の打ち合わせ", "議事録の送付", "請求書{n}", "お知らせ", "【{thing}】進捗報告"]
_JA_SPAM_SUBJECTS = ["【重要】利用停止のお知らせ", "{n}万円当選", "緊急のご連絡", "お知らせ", "Re: 副業の件", "請求書{n}未納"]

_HAM_HOSTS = ["example.org", "work.test", "choir.test", "city.test", "shop.test", "univ.test"]
_SPAM_HOSTS = ["shop.test", "win-now.test", "mail4u.test", "secure-login.test", "univ.test", "deal.test"]
_MAILERS = ["Thunderbird 140", "Mutt 2", "Apple Mail", "Outlook 16", ""]
_SYLLABLES = ["ka", "re", "mo", "ti", "su", "lan", "dor", "vi", "pel", "ran", "us", "gen", "tal", "ho", "ber", "ni"]


def letters(count: int, seed: int, language: str) -> Iterator[Letter]:
    """So many of each kind, one after the other, always the same ones for a seed."""
    chance = random.Random(f"{seed}/{language}")
    for _ in range(count):
        for is_spam in (False, True):
            yield Letter(letter(chance, is_spam, language), is_spam, language)


def letter(chance: random.Random, is_spam: bool, language: str) -> bytes:
    """One message with CRLF line ends."""
    subject, body = _text(chance, is_spam, language)
    host = chance.choice(_SPAM_HOSTS if is_spam else _HAM_HOSTS)
    name = chance.choice(_JA_PEOPLE if language == "ja" else _EN_PEOPLE)
    charset = chance.choice(["iso-2022-jp", "shift_jis", "utf-8", "euc-jp"] if language == "ja" else ["us-ascii", "utf-8", "iso-8859-1"])
    top = [
        b"From: " + _encoded(name, charset) + b" <" + _noise(chance).encode() + b"@" + host.encode() + b">",
        b"To: reader@here.test",
        b"Subject: " + _encoded(subject, charset),
        b"Date: Tue, 24 Nov 2026 10:%02d:00 +0000" % chance.randrange(60),
        b"Message-ID: <" + _noise(chance).encode() + b"@" + host.encode() + b">",
        b"MIME-Version: 1.0",
    ]
    if mailer := chance.choice(_MAILERS):
        top.append(b"User-Agent: " + mailer.encode())
    return b"\r\n".join(top) + b"\r\n" + _body(chance, body, charset, host)


def _text(chance: random.Random, is_spam: bool, language: str) -> tuple[str, str]:
    common, ham, spam = (_JA_COMMON, _JA_HAM, _JA_SPAM) if language == "ja" else (_EN_COMMON, _EN_HAM, _EN_SPAM)
    chosen = chance.sample(common, chance.randint(2, 5)) + chance.sample(spam if is_spam else ham, chance.randint(2, 5))
    if is_spam and chance.random() < 0.15:
        chosen += chance.sample(ham, 1)
    chance.shuffle(chosen)
    ham_subjects, spam_subjects = (_JA_HAM_SUBJECTS, _JA_SPAM_SUBJECTS) if language == "ja" else (_EN_HAM_SUBJECTS, _EN_SPAM_SUBJECTS)
    subject = _filled(chance, chance.choice(spam_subjects if is_spam else ham_subjects), language)
    lines = [_filled(chance, each, language) + ("" if language == "ja" else ".") for each in chosen]
    lines += [" ".join(_noise(chance) for _ in range(chance.randint(2, 12))), _noise(chance)]
    return subject, "\r\n".join(lines) + "\r\n"


def _filled(chance: random.Random, text: str, language: str) -> str:
    things, days, people = (_JA_THINGS, _JA_DAYS, _JA_PEOPLE) if language == "ja" else (_EN_THINGS, _EN_DAYS, _EN_PEOPLE)
    return text.format(thing=chance.choice(things), day=chance.choice(days), person=chance.choice(people), n=chance.randrange(2, 9000))


def _noise(chance: random.Random) -> str:
    return "".join(chance.choice(_SYLLABLES) for _ in range(chance.randint(2, 4)))


def _encoded(text: str, charset: str) -> bytes:
    if text.isascii():
        return text.encode()
    return b"=?%s?B?%s?=" % (charset.encode(), b64encode(text.encode(charset)))


def _body(chance: random.Random, text: str, charset: str, host: str) -> bytes:
    if chance.random() < 0.3:
        html = "<html><body>" + "".join(f"<p>{line}</p>" for line in text.split("\r\n")) + f'<a href="https://www.{host}/x">→</a></body></html>'
        html = html.replace("→", "&rarr;")
        if chance.random() < 0.5:
            return _part(chance, html, charset, "html")
        parts = (_part(chance, text, charset, "plain"), _part(chance, html, charset, "html"))
        return _multipart("alternative", parts)
    plain = _part(chance, text, charset, "plain")
    if chance.random() < 0.1:
        pdf = b"Content-Type: application/pdf; name=doc.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64encode(chance.randbytes(200))
        return _multipart("mixed", (plain, pdf))
    return plain


def _multipart(kind: str, parts: tuple[bytes, ...]) -> bytes:
    inside = b"".join(b"--=_b\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/" + kind.encode() + b"; boundary==_b\r\n\r\n" + inside + b"--=_b--\r\n"


def _part(chance: random.Random, text: str, charset: str, kind: str) -> bytes:
    raw = text.encode(charset, "replace")
    encoding = "7bit" if charset in ("iso-2022-jp", "us-ascii") else chance.choice(["8bit", "base64", "quoted-printable"])
    if encoding == "base64":
        whole = b64encode(raw)
        raw = b"\r\n".join(whole[at : at + 76] for at in range(0, len(whole), 76))
    elif encoding == "quoted-printable":
        raw = encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    head = f"Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + raw
