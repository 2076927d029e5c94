"""Reference term weights from scikit-learn for texts that are hard to cut.

Run: python goldens/tfidf.py        (needs scikit-learn; writes goldens/tfidf/tfidf.json)
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog",
    "the QUICK brown fox; the lazy DOG!",
    "don't stop - won't stop, can't stop",
    "café cafe\u0301 CAFÉ naïve façade",
    "straße STRASSE groß GROSS ẞ",
    "ΣΊΣΥΦΟΣ σίσυφος Σ ΑΣ",
    "İstanbul ISTANBUL ıspanak",
    "Привет мир, ПРИВЕТ МИР! ёлка ЁЛКА",
    "你好 世界 你好世界 東京 とうきょう トウキョウ",
    "हिन्दी में लिखा हुआ वाक्य हिन्दी",
    "สวัสดี ชาวโลก ภาษาไทย",
    "مرحبا بالعالم مَرْحَبًا",
    "😀 😀😀 ok 👍🏽 good 👨‍👩‍👧 family 🇩🇪 flag",
    "x² m³ ½ cup ¼ ⅔ Ⅷ ⅷ Ⓐ ⓐ ①②③",
    "١٢٣ ४५६ 123 4.5 1,000 0x1F 1e-5 v2.0.1",
    "snake_case __init__ _private a_b CamelCase kebab-case",
    "a b c I x y",
    "",
    "   \t  \n ",
    "!!! ... ???",
    "tab\tand\nnewline\r\nand\x0bvertical\x0cform\x1cfile\x1dgroup\x1erecord\x1funit",
    "no\u00a0break\u2003em\u3000ideographic\u200bzero\u2028line\u0085next",
    "user@example.org https://example.org/a?b=c&d=e #hashtag @mention",
    "C++ C# .NET node.js",
    "ab ab ab ab abc abcd abcde abcdef",
    "the the the the fox fox dog",
    "l'été dernier, l’hiver aujourd’hui",
    "soft\u00adhyphen non\u2011breaking e\u0301e\u0301",
    "ﬁne ﬂow ĳssel ǅ ǆ K Å",
    "price 10€ 20$ £30 ¥40 50% 60‰",
    "fox dog 世界 привет ok good stop",
]


def options(analyzer, low, high, min_df, max_features, sublinear_tf, lowercase=True):
    return {
        "analyzer": analyzer,
        "ngram_range": {"min": low, "max": high},
        "lowercase": lowercase,
        "min_df": min_df,
        "max_features": max_features,
        "sublinear_tf": sublinear_tf,
    }


def limit_without_tie(given, wanted):
    """The limit nearest to `wanted` at which the last term kept has more occurrences than the first one dropped."""
    from sklearn.feature_extraction.text import CountVectorizer

    counts = CountVectorizer(
        analyzer=given["analyzer"],
        ngram_range=(given["ngram_range"]["min"], given["ngram_range"]["max"]),
        min_df=given["min_df"],
    ).fit_transform(TEXTS)
    totals = np.sort(np.asarray(counts.sum(axis=0)).ravel())[::-1]
    fits = [n for n in range(1, len(totals)) if totals[n - 1] > totals[n]]
    return min(fits, key=lambda n: abs(n - wanted))


def case(given):
    snake = {"word": "word", "char_wb": "char_wb"}[given["analyzer"]]
    vectorizer = TfidfVectorizer(
        analyzer=snake,
        ngram_range=(given["ngram_range"]["min"], given["ngram_range"]["max"]),
        lowercase=given["lowercase"],
        min_df=given["min_df"],
        max_features=given["max_features"],
        sublinear_tf=given["sublinear_tf"],
    )
    matrix = vectorizer.fit_transform(TEXTS).tocsr()
    matrix.sort_indices()
    rows = []
    for row in range(matrix.shape[0]):
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        entries = zip(matrix.indices[span].tolist(), matrix.data[span].tolist())
        rows.append([[column, float(f"{value:.9g}")] for column, value in entries])
    return {"options": given, "vocabulary": vectorizer.get_feature_names_out().tolist(), "rows": rows}


def main():
    cases = [
        options("word", 1, 2, 1, 200000, True),
        options("word", 1, 1, 2, 200000, False, lowercase=False),
        options("word", 2, 3, 1, 200000, False),
        options("char_wb", 2, 5, 2, 200000, True),
        options("char_wb", 3, 4, 1, 200000, False),
    ]
    for given, wanted in [(options("word", 1, 2, 1, 0, True), 10), (options("char_wb", 2, 5, 2, 0, True), 60)]:
        cases.append({**given, "max_features": limit_without_tie(given, wanted)})
    golden = {
        "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
        "texts": TEXTS,
        "cases": [case(given) for given in cases],
    }
    path = pathlib.Path(__file__).parent / "tfidf" / "tfidf.json"
    path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


main()
