"""Traditional forms of characters that occur in Chinese answers, with their simplified forms.

One character to one character, only for characters of the word lists and the abstain phrases. A
general converter would also change names it should leave alone.
"""

from __future__ import annotations

_TRADITIONAL = (
    "倉偉傑傘儀凱剛劉勳參吳吶呂啓啟嗩國園堅塢夢嫺嫻嬌孫學寧對峯嵐廄廣廳張愛慶憶採揚攬"
    "曉書東棟棲楊業樸樹欄歸沒漁潔澤濤瀉瀾燈燭瑤瑩盧硯穎窯箏範簫紅紹絲維綺織羅羣義聽興"
    "華葉蒼蓮蔣蔭薩蘆蘇蘭螢術衛衞觀許訴詩語說説講謝譚豎豔貝貞賈趙輝轎過遠鄒鄧鄭醬鈞銀"
    "鋒錠錦鍾鐵長門關陳陸陽雲靜韓韜顧風飛餘馬馮馳駿驛鳳鳴鵬鶴鹽麗麥黃黨"
)
_SIMPLIFIED = (
    "仓伟杰伞仪凯刚刘勋参吴呐吕启启唢国园坚坞梦娴娴娇孙学宁对峰岚厩广厅张爱庆忆采扬揽"
    "晓书东栋栖杨业朴树栏归没渔洁泽涛泻澜灯烛瑶莹卢砚颖窑筝范箫红绍丝维绮织罗群义听兴"
    "华叶苍莲蒋荫萨芦苏兰萤术卫卫观许诉诗语说说讲谢谭竖艳贝贞贾赵辉轿过远邹邓郑酱钧银"
    "锋锭锦钟铁长门关陈陆阳云静韩韬顾风飞余马冯驰骏驿凤鸣鹏鹤盐丽麦黄党"
)
SIMPLIFIED: dict[str, str] = dict(zip(_TRADITIONAL, _SIMPLIFIED, strict=True))
