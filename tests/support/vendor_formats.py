"""Files as common tools write them: the same four bars of one ticker in each."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pandas as pd

BARS = pd.DataFrame(
    {
        "Open": [186.54, 186.06, 182.16, 181.27],
        "High": [187.05, 186.74, 184.26, 182.93],
        "Low": [183.62, 185.19, 180.93, 180.30],
        "Close": [185.59, 185.92, 183.63, 182.68],
        "Volume": [49_128_400, 40_477_800, 65_603_000, 47_317_400],
    },
    index=pd.DatetimeIndex(["2024-01-11", "2024-01-12", "2024-01-16", "2024-01-17"], name="Date"),
)


@dataclass(frozen=True)
class Format:
    """A file: its name, its first lines, and what a row looks like.

    In a row, `d` is the day, `s` its first second as an epoch, `ny` that of New York; `o`, `h`,
    `l`, `c` and `v` are the bar, `n` its number. `has_ticker`: it names the ticker, so it may hold
    several.
    """

    file: str
    head: str
    row: str
    # By the number of the column, where there is no header.
    columns: dict[str, str] = field(default_factory=dict)
    ticker: str = "AAPL"
    has_ticker: bool = False
    newest_first: bool = False
    encoding: str = "utf-8"

    def content(self) -> bytes:
        """Return what the tool writes, compressed as the name of the file says."""
        rows = []
        for idx, (day, bar) in enumerate(BARS.iterrows()):
            seconds = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
            row = self.row.format(
                d=day,
                s=seconds,
                ny=seconds + 5 * 3600,
                n=idx,
                o=bar["Open"],
                h=bar["High"],
                l=bar["Low"],
                c=bar["Close"],
                v=int(bar["Volume"]),
            )
            rows.append(row)
        if self.newest_first:
            rows.reverse()
        lines = [line for line in (self.head, *rows) if line]
        return ("\n".join(lines) + "\n").encode(self.encoding)


BOM = codecs.BOM_UTF8.decode()
NY_MIDNIGHT = "{d:%Y-%m-%d} 05:00:00+00:00"
KLINE = "{o},{h},{l},{c},{v},1704931199999,0.0,1,0.0,0.0,0"
KLINE_COLUMNS = {"1": "date", "2": "open", "3": "high", "4": "low", "5": "close", "6": "volume"}
MT4_COLUMNS = {"1": "date", "3": "open", "4": "high", "5": "low", "6": "close", "7": "volume"}

FORMATS = {
    "yfinance one ticker": Format(
        "prices.csv",
        "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,",
        "{d:%Y-%m-%d},{c},{h},{l},{o},{v}",
        has_ticker=True,
    ),
    "yfinance group_by ticker": Format(
        "prices.csv",
        "Ticker,AAPL,AAPL,AAPL,AAPL,AAPL\nPrice,Open,High,Low,Close,Volume\nDate,,,,,",
        "{d:%Y-%m-%d},{o},{h},{l},{c},{v}",
        has_ticker=True,
    ),
    "yfinance old, unadjusted": Format(
        "prices.csv",
        ",Adj Close,Close,High,Low,Open,Volume\n,AAPL,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,,",
        "{d:%Y-%m-%d},{c},{c},{h},{l},{o},{v}",
        has_ticker=True,
    ),
    "yfinance after reset_index": Format(
        "prices.csv",
        "Date,Close,High,Low,Open,Volume\n,AAPL,AAPL,AAPL,AAPL,AAPL",
        "{d:%Y-%m-%d},{c},{h},{l},{o},{v}",
        has_ticker=True,
    ),
    "yfinance after reset_index, row numbers": Format(
        "prices.csv",
        "Price,Date,Close,High,Low,Open,Volume\nTicker,,AAPL,AAPL,AAPL,AAPL,AAPL\n,,,,,,",
        "{n},{d:%Y-%m-%d},{c},{h},{l},{o},{v}",
        has_ticker=True,
    ),
    "yfinance columns joined": Format(
        "prices.csv",
        "Date,Close_AAPL,High_AAPL,Low_AAPL,Open_AAPL,Volume_AAPL",
        "{d:%Y-%m-%d},{c},{h},{l},{o},{v}",
        has_ticker=True,
    ),
    "yfinance Ticker.history": Format(
        "AAPL.csv",
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits",
        "{d:%Y-%m-%d} 00:00:00-05:00,{o},{h},{l},{c},{v},0.0,0.0",
    ),
    "Yahoo website": Format(
        "AAPL.csv",
        "Date,Open,High,Low,Close,Adj Close,Volume",
        "{d:%Y-%m-%d},{o:.6f},{h:.6f},{l:.6f},{c:.6f},{c:.6f},{v}",
    ),
    "Yahoo website, copied": Format(
        "AAPL.csv",
        "Date\tOpen\tHigh\tLow\tClose\tAdj Close\tVolume",
        "{d:%b %d, %Y}\t{o}\t{h}\t{l}\t{c}\t{c}\t{v:,}",
        newest_first=True,
    ),
    "Stooq website": Format(
        "aapl_us_d.csv",
        "Date,Open,High,Low,Close,Volume",
        "{d:%Y-%m-%d},{o},{h},{l},{c},{v}",
    ),
    "Stooq bulk": Format(
        "aapl.us.txt",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
        "AAPL.US,D,{d:%Y%m%d},000000,{o},{h},{l},{c},{v},0",
        ticker="AAPL.US",
        has_ticker=True,
    ),
    "Alpaca bars.df": Format(
        "bars.csv",
        "symbol,timestamp,open,high,low,close,volume,trade_count,vwap",
        f"AAPL,{NY_MIDNIGHT},{{o}},{{h}},{{l}},{{c}},{{v}}.0,554777.0,{{c}}",
        has_ticker=True,
    ),
    "Alpaca JSON as CSV": Format(
        "AAPL.csv",
        "t,o,h,l,c,v,n,vw",
        "{d:%Y-%m-%d}T05:00:00Z,{o},{h},{l},{c},{v},554777,{c}",
    ),
    "Alpha Vantage daily": Format(
        "daily_AAPL.csv",
        "timestamp,open,high,low,close,volume",
        "{d:%Y-%m-%d},{o:.4f},{h:.4f},{l:.4f},{c:.4f},{v}",
        newest_first=True,
    ),
    "Alpha Vantage adjusted": Format(
        "daily_adjusted_AAPL.csv",
        "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient",
        "{d:%Y-%m-%d},{o},{h},{l},{c},{c},{v},0.0000,1.0",
        newest_first=True,
    ),
    "Alpha Vantage as pandas": Format(
        "AAPL.csv",
        "date,1. open,2. high,3. low,4. close,5. volume",
        "{d:%Y-%m-%d},{o},{h},{l},{c},{v}.0",
        newest_first=True,
    ),
    "Tiingo": Format(
        "AAPL.csv",
        "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor",
        "{d:%Y-%m-%d},{c},{h},{l},{o},{v},{c},{h},{l},{o},{v},0.0,1.0",
    ),
    "Tiingo get_dataframe": Format(
        "AAPL.csv",
        "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor",
        "{d:%Y-%m-%d} 00:00:00+00:00,{c},{h},{l},{o},{v},{c},{h},{l},{o},{v},0.0,1.0",
    ),
    "Polygon flat file": Format(
        "2024-01.csv.gz",
        "ticker,volume,open,close,high,low,window_start,transactions",
        "AAPL,{v},{o},{c},{h},{l},{ny}000000000,554777",
        has_ticker=True,
    ),
    "Polygon aggregates": Format(
        "AAPL.csv",
        "v,vw,o,c,h,l,t,n",
        "{v},{c},{o},{c},{h},{l},{ny}000,554777",
    ),
    "Polygon Python client": Format(
        "AAPL.csv",
        "open,high,low,close,volume,vwap,timestamp,transactions,otc",
        "{o},{h},{l},{c},{v},{c},{ny}000,554777,",
    ),
    "Binance spot klines": Format(
        "BTCUSDT-1d-2024-01.zip",
        "",
        "{s}000," + KLINE,
        KLINE_COLUMNS,
        ticker="BTCUSDT",
    ),
    "Binance spot klines since 2025": Format(
        "BTCUSDT-1d-2024-01.csv",
        "",
        "{s}000000," + KLINE,
        KLINE_COLUMNS,
        ticker="BTCUSDT",
    ),
    "Binance futures klines": Format(
        "BTCUSDT-1d-2024-01.csv",
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
        "taker_buy_volume,taker_buy_quote_volume,ignore",
        "{s}000," + KLINE,
        ticker="BTCUSDT",
    ),
    "TradingView": Format(
        "NASDAQ_AAPL, 1D.csv",
        "time,open,high,low,close,Volume",
        "{s},{o},{h},{l},{c},{v}",
    ),
    "TradingView, session start": Format(
        "BATS_AAPL, 1D.csv",
        "time,open,high,low,close,Volume,Volume MA",
        "{ny},{o},{h},{l},{c},{v},",
    ),
    "TradingView, ISO time": Format(
        "NASDAQ_AAPL, 1D.csv",
        "time,open,high,low,close,Volume",
        "{d:%Y-%m-%d}T09:30:00-05:00,{o},{h},{l},{c},{v}",
    ),
    "MetaTrader 4": Format(
        "EURUSD1440.csv",
        "",
        "{d:%Y.%m.%d},00:00,{o},{h},{l},{c},{v}",
        MT4_COLUMNS,
        ticker="EURUSD",
    ),
    "MetaTrader 5": Format(
        "AAPL_Daily_202401110000_202401170000.csv",
        "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
        "{d:%Y.%m.%d}\t{o}\t{h}\t{l}\t{c}\t{v}\t{v}\t2",
    ),
    "MetaTrader 5, UTF-16": Format(
        "AAPL_Daily_202401110000_202401170000.csv",
        "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
        "{d:%Y.%m.%d}\t{o}\t{h}\t{l}\t{c}\t{v}\t{v}\t2",
        encoding="utf-16",
    ),
    "MetaTrader 5 from Python": Format(
        "AAPL.csv",
        "time,open,high,low,close,tick_volume,spread,real_volume",
        "{s},{o},{h},{l},{c},{v},2,{v}",
    ),
    "Interactive Brokers": Format(
        "AAPL.csv",
        ",date,open,high,low,close,volume,average,barCount",
        "{n},{d:%Y-%m-%d},{o},{h},{l},{c},{v}.0,{c},200000",
    ),
    "Interactive Brokers, API text": Format(
        "AAPL.csv",
        "Date,Open,High,Low,Close,Volume,Average,BarCount",
        "{d:%Y%m%d},{o},{h},{l},{c},{v},{c},200000",
    ),
    "Nasdaq.com": Format(
        "HistoricalData_1705600000000.csv",
        "Date,Close/Last,Volume,Open,High,Low",
        "{d:%m/%d/%Y},${c},{v},${o},${h},${l}",
        newest_first=True,
    ),
    "Investing.com": Format(
        "AAPL Historical Data.csv",
        BOM + '"Date","Price","Open","High","Low","Vol.","Change %"',
        '"{d:%m/%d/%Y}","{c:,.2f}","{o:,.2f}","{h:,.2f}","{l:,.2f}","47.32M","-0.52%"',
        newest_first=True,
    ),
    "Investing.com, older": Format(
        "AAPL Historical Data.csv",
        '"Date","Price","Open","High","Low","Vol.","Change %"',
        '"{d:%b %d, %Y}","{c:,.2f}","{o:,.2f}","{h:,.2f}","{l:,.2f}","-","-0.52%"',
        newest_first=True,
    ),
    "Kaggle S&P 500, 5 years": Format(
        "all_stocks_5yr.csv",
        "date,open,high,low,close,volume,Name",
        "{d:%Y-%m-%d},{o},{h},{l},{c},{v},AAPL",
        has_ticker=True,
    ),
    "Kaggle S&P 500, daily updated": Format(
        "sp500_stocks.csv",
        "Date,Symbol,Adj Close,Close,High,Low,Open,Volume",
        "{d:%Y-%m-%d},AAPL,{c},{c},{h},{l},{o},{v}.0",
        has_ticker=True,
    ),
    "Kaggle World Stock Prices": Format(
        "World-Stock-Prices-Dataset.csv",
        "Date,Open,High,Low,Close,Volume,Brand_Name,Ticker,Industry_Tag,Country,"
        "Dividends,Stock Splits,Capital Gains",
        "{d:%Y-%m-%d} 00:00:00-05:00,{o},{h},{l},{c},{v}.0,apple,AAPL,technology,usa,0.0,0.0,",
        newest_first=True,
        has_ticker=True,
    ),
    "Kaggle NIFTY-50": Format(
        "NIFTY50_all.csv",
        "Date,Symbol,Series,Prev Close,Open,High,Low,Last,Close,VWAP,Volume,Turnover,Trades,"
        "Deliverable Volume,%Deliverble",
        "{d:%Y-%m-%d},AAPL,EQ,{o},{o},{h},{l},{c},{c},{c},{v},1.0,,,",
        has_ticker=True,
    ),
    "Kaggle AMEX, NYSE, NASDAQ histories": Format(
        "AAPL.csv",
        "date,volume,open,high,low,close,adjclose",
        "{d:%Y-%m-%d},{v},{o},{h},{l},{c},{c}",
        newest_first=True,
    ),
    "Kaggle Huge Stock Market": Format(
        "aapl.us.txt",
        "Date,Open,High,Low,Close,Volume,OpenInt",
        "{d:%Y-%m-%d},{o},{h},{l},{c},{v},0",
    ),
    "pandas, index without a name": Format(
        "AAPL.csv",
        ",Open,High,Low,Close,Volume",
        "{d:%Y-%m-%d},{o},{h},{l},{c},{v}",
    ),
    "freqtrade as CSV": Format(
        "BTC_USDT-1d.csv",
        "date,open,high,low,close,volume",
        "{d:%Y-%m-%d} 00:00:00+00:00,{o},{h},{l},{c},{v}.0",
        ticker="BTC_USDT",
    ),
    "Excel, semicolons": Format(
        "prices.csv",
        BOM + "Date;Ticker;Open;High;Low;Close;Volume",
        "{d:%d.%m.%Y};AAPL;{o};{h};{l};{c};{v}",
        has_ticker=True,
    ),
    # Not in the table of the page, but of the same kinds.
    "EOD Historical Data": Format(
        "AAPL.US.csv",
        "Date,Open,High,Low,Close,Adjusted_close,Volume",
        "{d:%Y-%m-%d},{o},{h},{l},{c},{c},{v}",
    ),
    "Twelve Data": Format(
        "AAPL.csv",
        "datetime;open;high;low;close;volume",
        "{d:%Y-%m-%d};{o};{h};{l};{c};{v}",
        newest_first=True,
    ),
    "Financial Modeling Prep": Format(
        "AAPL.csv",
        "symbol,date,open,high,low,close,volume,change,changePercent,vwap",
        "AAPL,{d:%Y-%m-%d},{o},{h},{l},{c},{v},-0.95,-0.51,{c}",
        newest_first=True,
        has_ticker=True,
    ),
    "Nasdaq Data Link WIKI": Format(
        "WIKI_PRICES.csv",
        "ticker,date,open,high,low,close,volume,ex-dividend,split_ratio,"
        "adj_open,adj_high,adj_low,adj_close,adj_volume",
        "AAPL,{d:%Y-%m-%d},{o},{h},{l},{c},{v}.0,0.0,1.0,{o},{h},{l},{c},{v}.0",
        has_ticker=True,
    ),
    "CryptoDataDownload": Format(
        "Binance_BTCUSDT_d.csv",
        "https://www.CryptoDataDownload.com\n"
        "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount",
        "{s}000,{d:%Y-%m-%d},BTCUSDT,{o},{h},{l},{c},{v},{v},1",
        ticker="BTCUSDT",
        newest_first=True,
        has_ticker=True,
    ),
    "Dukascopy": Format(
        "AAPL.csv",
        "Gmt time,Open,High,Low,Close,Volume",
        "{d:%d.%m.%Y} 00:00:00.000,{o},{h},{l},{c},{v}",
    ),
    "NSE bhavcopy": Format(
        "bhav.csv",
        "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP",
        "AAPL,EQ,{o},{h},{l},{c},{c},{c},{v},1.0,{d:%d-%b-%Y}",
        has_ticker=True,
    ),
    "Tushare": Format(
        "daily.csv",
        "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount",
        "000001.SZ,{d:%Y%m%d},{o},{h},{l},{c},{c},0.0,0.0,{v}.0,1.0",
        ticker="000001.SZ",
        newest_first=True,
        has_ticker=True,
    ),
    "Finam": Format(
        "AAPL.csv",
        "<TICKER>;<PER>;<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>",
        "AAPL;D;{d:%Y%m%d};000000;{o};{h};{l};{c};{v}",
        has_ticker=True,
    ),
}
