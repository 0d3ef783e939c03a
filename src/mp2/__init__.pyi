"""The public names, for type checkers; `__init__.py` imports each when it is first used."""

from mp2.data.panel import SignalPanel as SignalPanel
from mp2.data.prices import PriceTable as PriceTable
from mp2.data.prices import read_prices as read_prices
from mp2.data.signal_reader import read_signals as read_signals
from mp2.discovery.http.reply import Reply as Reply
from mp2.discovery.records import Candidate as Candidate
from mp2.discovery.records import MergedCandidate as MergedCandidate
from mp2.discovery.records import OutcomeStatus as OutcomeStatus
from mp2.discovery.records import ScanError as ScanError
from mp2.discovery.records import ScanEvent as ScanEvent
from mp2.discovery.records import ScanOutcome as ScanOutcome
from mp2.discovery.records import ScanResult as ScanResult
from mp2.discovery.records import ScanStatus as ScanStatus
from mp2.discovery.registry import find_scanners as find_scanners
from mp2.discovery.scanner import ScanContext as ScanContext
from mp2.discovery.scanner import Scanner as Scanner
from mp2.discovery.scanner import ScannerSettings as ScannerSettings
from mp2.errors import InputError as InputError
from mp2.errors import MissingExtraError as MissingExtraError
from mp2.errors import Mp2Error as Mp2Error
from mp2.errors import ReadStoppedError as ReadStoppedError
from mp2.errors import SourceError as SourceError
from mp2.errors import StoreError as StoreError
from mp2.evidence.significance import significance as significance
from mp2.groups.luck import Significance as Significance
from mp2.groups.result import DayConsensus as DayConsensus
from mp2.groups.result import DayStats as DayStats
from mp2.groups.result import Exclusion as Exclusion
from mp2.groups.result import Group as Group
from mp2.groups.result import Idea as Idea
from mp2.groups.result import Member as Member
from mp2.groups.result import SearchResult as SearchResult
from mp2.groups.result import StarterRecord as StarterRecord
from mp2.groups.result import StarterStatus as StarterStatus
from mp2.groups.result import Status as Status
from mp2.groups.rules import Rules as Rules
from mp2.groups.search import SearchProgress as SearchProgress
from mp2.groups.space import PanelSummary as PanelSummary
from mp2.groups.space import panel_summary as panel_summary
from mp2.picks.outcome import score as score
from mp2.picks.pick import pick_day as pick_day
from mp2.picks.records import DayPicks as DayPicks
from mp2.picks.records import Outcome as Outcome
from mp2.picks.track import ConfigurationRecord as ConfigurationRecord
from mp2.picks.track import TrackRecord as TrackRecord
from mp2.picks.weeks import WalkForward as WalkForward
from mp2.pipeline import PipelineRun as PipelineRun
from mp2.pipeline import resume as resume
from mp2.pipeline import run as run
from mp2.pipeline import search as search
from mp2.scanning import scan as scan
from mp2.signals.algorithms import Algorithm as Algorithm
from mp2.signals.algorithms import Parameter as Parameter
from mp2.signals.algorithms import algorithm as algorithm
from mp2.signals.grids import Grids as Grids
from mp2.signals.grids import load_grids as load_grids
from mp2.signals.sheet import SignalSheet as SignalSheet
from mp2.signals.sheet import compute_signals as compute_signals
from mp2.storage.runs import Store as Store
from mp2.storage.track import track as track
from mp2.walking import resume_walk_forward as resume_walk_forward
from mp2.walking import walk_forward as walk_forward

__version__: str

def __dir__() -> list[str]: ...
