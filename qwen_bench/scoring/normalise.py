"""From raw model text to comparable text, remembering where each character came from.

The order of the steps matters and is that of the probe specification, section 6.1.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_TURN_END = re.compile(r"<\|(?:im_end|endoftext|im_start)\|>")
_ROLE_LINE = re.compile(
    r"^[ \t]*(?:(?:user|assistant|system)[ \t]*$|(?:User|Human|Assistant):|(?:用户|助手)[：:])",
    re.MULTILINE,
)
_MARKER = re.compile(
    r"answer\s*:|answer is\b|答案\s*[:是为]|^\s*(?:答|回答)\s*:",
    re.MULTILINE,
)
_STRUCK = re.compile(r"(?<!~)~~(?!~)[^~\n]+~~(?!~)")
_TICKED = re.compile(r"^[ \t]*[-*][ \t]+\[[xX]\]", re.MULTILINE)
_EMPTY_BOX = re.compile(r"^[ \t]*[-*][ \t]+\[ \].*$", re.MULTILINE)
_ZERO_WIDTH = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad")
# Full-width forms need no entry here: NFKC makes plain ones of them.
_BLANK = frozenset('*_`#~|>"“”„«»「」『』《》〈〉()[]{}【】〔〕-‐‒–—―•·')
# Traditional characters, one to one and only those of the word files and of the phrases that the
# scorer looks for: a general converter would also change names that it should leave alone.
_TRADITIONAL = (
    "並亞來俠倉個們倫偉偵傑傘備傳傷儀億內兩冊凱別剛劇劉劍動務勳勸匯區卻參吳吶呂員問啓啟單嗩"
    "噴國圍園圓圖團堅報場塢塵墊壇壓壺壽夠夢夾奧媽嫺嫻嬌嬰嬸孫學宮實寧審寫寬寵寶將專對導屜屬"
    "峯島峽崗嵐師帳帶幫庫廂廄廈廚廟廣廳張強從復愛慶憶應懶戲戶掃採揚換搖搶撥撻擊擔擬擴擺擼攤"
    "攬數時曇曉書會東梔條棗棟棲楊楓業樁樓標樣樸樹樺橋橫檔檢檳檸櫃櫚櫟櫻欄權欖歐歡歸殼沒沖涼"
    "淨淺減測湊湯溫滿漁漢潔澆澤濃濕濤濰濾瀉瀾灣為烏無煙熱燈燒燜營燭爐爾牆狀獅獎獨獵獸獺獻現"
    "琺瑤瑩瑪環產畢畫當疊癮發皺盜盡盤盧眾硯確碼磚礙禮稅稟種穀穎窯筆筍箏節範簫簽簾籃籠粵糧紀"
    "紅紋納紐紙級紹終組結給絨絲經綠維網綴綺綿緊線緞編緩緬練縣縫總織繡繩繼續纖羅羣義習聲職聽"
    "腳腸膚膠膩臥臨臺興舉舊茲荊華葉蒼蓋蓮蔣蔥蔭蕪薔薦薩藍藝藥蘆蘇蘭處虛號蝟蝦蝸螞螢蟈蟻蠅術"
    "衛衞補裝裡褲見規視覺覽觀訂計訓記訪設許訴診詞詢試詩話該認語誤說説誰課誼調請論諸謎講謝證"
    "譚譜譯議護讀變讓豎豔豬貓貝貞財貨買費資賈賣質賬購賽贛趙車軌軍軟輕輝輩輪轉轍轎辦辭這連進"
    "運過遞遠選遺還邊郵鄒鄧鄭醫醬釀釘針釣鈕鈞鈴鈿鉗銀銅銘銷鋒鋪錄錠錢錦錯鍋鍬鍵鍾鎖鎮鏟鏡鏽"
    "鐘鐲鐵鐺鑽長門閃開間閘閣閨閩閱關陳陸陽隊隨險雙雜雞難雲電霧靂靈靜韓韜韻頂順頓領頭頸題顏"
    "顧顯風飛飩飯飲飾餃餅餈養餘餛館馬馮馳駝駱駿騎騰騾驗驛驢鬆鬧魚魯鮑鮮鯊鯨鱷鳥鳳鳴鳶鴉鴨鴻"
    "鴿鵑鵝鵡鵪鵬鵲鶉鶴鷹鸚鹽麗麥黃點黨齊齒齡龍龜"
    "墜鑼篳響翹斷細飄櫥禪寢齋饅貼凍戰鯤鸞驍賢達誠驥鈺軒韋龔賀喲錘塊駕駛鑰罷擱勞嘍嗚肅鏗鏘鯉蘿"
    "鱒襪鋼潛錨鎧彈鏢駙蕭樂嚴悅濟鄲饒貴閔藺喬閻竇婁槳鋸熒鏈積錫稈階徑簍蕩臉澗執鑿幣紗監攝溝暉"
    "纓擷暢蘊擁貢遲軋隕懸縮"
    "丟鄉亂侖勁協囪埡歲崍戀恆樞轂潤灘瀲燁燼睜礪穩箋簡繞絳纏脫榮薊蠻謙賭較輸轅鄰釵鉞鋰陰陣頁預餌騁騏驤鴣鷓鷺"
)
_SIMPLIFIED = (
    "并亚来侠仓个们伦伟侦杰伞备传伤仪亿内两册凯别刚剧刘剑动务勋劝汇区却参吴呐吕员问启启单唢"
    "喷国围园圆图团坚报场坞尘垫坛压壶寿够梦夹奥妈娴娴娇婴婶孙学宫实宁审写宽宠宝将专对导屉属"
    "峰岛峡岗岚师帐带帮库厢厩厦厨庙广厅张强从复爱庆忆应懒戏户扫采扬换摇抢拨挞击担拟扩摆撸摊"
    "揽数时昙晓书会东栀条枣栋栖杨枫业桩楼标样朴树桦桥横档检槟柠柜榈栎樱栏权榄欧欢归壳没冲凉"
    "净浅减测凑汤温满渔汉洁浇泽浓湿涛潍滤泻澜湾为乌无烟热灯烧焖营烛炉尔墙状狮奖独猎兽獭献现"
    "珐瑶莹玛环产毕画当叠瘾发皱盗尽盘卢众砚确码砖碍礼税禀种谷颖窑笔笋筝节范箫签帘篮笼粤粮纪"
    "红纹纳纽纸级绍终组结给绒丝经绿维网缀绮绵紧线缎编缓缅练县缝总织绣绳继续纤罗群义习声职听"
    "脚肠肤胶腻卧临台兴举旧兹荆华叶苍盖莲蒋葱荫芜蔷荐萨蓝艺药芦苏兰处虚号猬虾蜗蚂萤蝈蚁蝇术"
    "卫卫补装里裤见规视觉览观订计训记访设许诉诊词询试诗话该认语误说说谁课谊调请论诸谜讲谢证"
    "谭谱译议护读变让竖艳猪猫贝贞财货买费资贾卖质账购赛赣赵车轨军软轻辉辈轮转辙轿办辞这连进"
    "运过递远选遗还边邮邹邓郑医酱酿钉针钓钮钧铃钿钳银铜铭销锋铺录锭钱锦错锅锹键钟锁镇铲镜锈"
    "钟镯铁铛钻长门闪开间闸阁闺闽阅关陈陆阳队随险双杂鸡难云电雾雳灵静韩韬韵顶顺顿领头颈题颜"
    "顾显风飞饨饭饮饰饺饼糍养余馄馆马冯驰驼骆骏骑腾骡验驿驴松闹鱼鲁鲍鲜鲨鲸鳄鸟凤鸣鸢鸦鸭鸿"
    "鸽鹃鹅鹉鹌鹏鹊鹑鹤鹰鹦盐丽麦黄点党齐齿龄龙龟"
    "坠锣筚响翘断细飘橱禅寝斋馒贴冻战鲲鸾骁贤达诚骥钰轩韦龚贺哟锤块驾驶钥罢搁劳喽呜肃铿锵鲤萝"
    "鳟袜钢潜锚铠弹镖驸萧乐严悦济郸饶贵闵蔺乔阎窦娄桨锯荧链积锡秆阶径篓荡脸涧执凿币纱监摄沟晖"
    "缨撷畅蕴拥贡迟轧陨悬缩"
    "丢乡乱仑劲协囱垭岁崃恋恒枢毂润滩潋烨烬睁砺稳笺简绕绛缠脱荣蓟蛮谦赌较输辕邻钗钺锂阴阵页预饵骋骐骧鸪鹧鹭"
)
_TO_SIMPLIFIED = dict(zip(_TRADITIONAL, _SIMPLIFIED, strict=True))
_APOSTROPHES = {"’": "'", "‘": "'", "ʼ": "'"}


@dataclass(frozen=True, slots=True)
class Normalised:
    """Comparable text and, for each of its characters, the index in the original."""

    text: str
    origin: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Span in the original of the characters [start, end) of `text`."""
        return self.origin[start], self.origin[end - 1] + 1


@dataclass(frozen=True, slots=True)
class Visible:
    """The part of an answer that counts, as a slice of the original.

    `unfinished_thought` is set when a reasoning block was opened and never closed.
    """

    start: int
    end: int
    unfinished_thought: bool = False


def visible_part(raw: str) -> Visible:
    """Cuts the turn end, reasoning and invented further turns off an answer."""
    end = len(raw)
    if found := _TURN_END.search(raw):
        end = found.start()
    start = 0
    closed = raw.rfind("</think>", 0, end)
    if closed >= 0:
        start = closed + len("</think>")
    if raw.find("<think>", start, end) >= 0:
        return Visible(start, start, unfinished_thought=True)
    body = raw[start:end]
    first_line = len(body) - len(body.lstrip())
    after_first = body.find("\n", first_line)
    if after_first >= 0:
        for role in _ROLE_LINE.finditer(body, after_first + 1):
            # "Answer:" and a role on the next line is an answer, not a further turn.
            if not body[: role.start()].rstrip(" \t\n*_").endswith((":", "：")):
                end = start + role.start()
                break
    return Visible(start, end)


def normalise(raw: str, start: int = 0, end: int | None = None) -> Normalised:
    """NFKC, case folding, simplified characters, straight apostrophes; marks become blanks.

    What is struck through, or an empty box beside a ticked one, is left out.

    Newlines are kept (they end clauses and lines); runs of blanks collapse.
    """
    text: list[str] = []
    origin: list[int] = []
    end = len(raw) if end is None else end
    crossed_out = _crossed_out(raw, start, end)
    for index in range(start, end):
        char = raw[index]
        if char in _ZERO_WIDTH or index in crossed_out:
            continue
        char = _APOSTROPHES.get(char, char)
        if char in _BLANK:
            char = " "
        for folded in unicodedata.normalize("NFKC", char).casefold():
            plain = _TO_SIMPLIFIED.get(folded, folded)
            plain = " " if plain in _BLANK or (plain.isspace() and plain != "\n") else plain
            if plain == " " and (not text or text[-1] in " \n"):
                continue
            text.append(plain)
            origin.append(index)
    while text and text[-1] in " \n":
        text.pop()
        origin.pop()
    return Normalised("".join(text), tuple(origin))


def _crossed_out(raw: str, start: int, end: int) -> set[int]:
    """Indices of what markdown strikes through, and of boxes left empty beside a ticked one."""
    spans = [found.span() for found in _STRUCK.finditer(raw, start, end)]
    if _TICKED.search(raw, start, end):
        spans += [found.span() for found in _EMPTY_BOX.finditer(raw, start, end)]
    return {index for span in spans for index in range(*span)}


def answer_segment(text: str) -> tuple[int, int]:
    """Start and end of the answer in normalised text: after the last explicit marker, else all."""
    markers = list(_MARKER.finditer(text))
    if not markers:
        return 0, len(text)
    start = markers[-1].end()
    line_end = text.find("\n", start)
    while line_end >= 0 and not text[start:line_end].strip(" ,.:;。，"):
        start = line_end + 1
        line_end = text.find("\n", start)
    return start, len(text) if line_end < 0 else line_end
